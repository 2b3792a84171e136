import SessionProtocol

/// A resume key and its proofs, as quick as the simulation needs them and no stronger: whoever does not compute them
/// from the key gets them wrong, and nobody in the simulation attacks the function.
struct ToyKey {
    private let key: UInt64

    /// The key of both ends. An attacker knows the shares too, but not `secret`, which stands for the private halves.
    init(secret: UInt64, openerShare: [UInt8], acceptorShare: [UInt8]) {
        key = ToyKey.mix(ToyKey.mix(secret, openerShare), acceptorShare)
    }

    func proof(of transcript: [UInt8]) -> Proof {
        var random = SplitMix(state: ToyKey.mix(key, transcript))
        guard let proof = Proof(bytes: random.bytes(Wire.proofLength)) else {
            preconditionFailure("a proof has \(Wire.proofLength) bytes")
        }
        return proof
    }

    /// FNV-1a over 64 bits, begun at the key.
    private static func mix(_ key: UInt64, _ bytes: [UInt8]) -> UInt64 {
        var hash = key ^ 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash
    }
}
