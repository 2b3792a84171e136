import COpenSSL

/// What one side of a connection sends: chance from a seed, so that the other side knows each byte in advance, and the
/// hash of what has gone by so far (SHA-256).
struct TrafficContent: ~Copyable {
    private(set) var count = 0
    private var words: LabChance
    private var rest: UInt64 = 0
    private let hash: OpaquePointer

    init(seed: UInt64) {
        words = LabChance(seed: seed)
        hash = EVP_MD_CTX_new()
        EVP_DigestInit_ex(hash, EVP_sha256(), nil)
    }

    deinit { EVP_MD_CTX_free(hash) }

    /// Writes the next bytes.
    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var index = 0
        while index < buffer.count {
            if count % 8 == 0, buffer.count - index >= 8 {
                buffer.storeBytes(of: words.next().littleEndian, toByteOffset: index, as: UInt64.self)
                index += 8
                count += 8
            } else {
                if count % 8 == 0 { rest = words.next() }
                buffer[index] = UInt8(truncatingIfNeeded: rest >> (8 * UInt64(count % 8)))
                index += 1
                count += 1
            }
        }
    }

    /// Adds bytes that were sent or received to the hash.
    func record(_ bytes: UnsafeRawBufferPointer) { EVP_DigestUpdate(hash, bytes.baseAddress, bytes.count) }

    /// The hash of all that was recorded, in hexadecimal. Asked for once.
    consuming func digest() -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        EVP_DigestFinal_ex(hash, &digest, nil)
        return digest.map { byte in
            let text = String(byte, radix: 16)
            return byte < 16 ? "0" + text : text
        }.joined()
    }
}
