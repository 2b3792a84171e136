@testable import SessionProtocol

/// Values that many tests use.
enum Samples {
    /// A decoder that has read the preface.
    static var decoder: FrameDecoder {
        var decoder = FrameDecoder()
        var cursor = 0
        let preface = Wire.preface
        _ = try! decoder.next(preface.span.bytes, &cursor)
        return decoder
    }

    static let destination = Destination(address: [10, 0, 0, 7], port: 5432)!
    static let open = OpenMessage(
        session: Pair.id, keyShare: share(1), destination: destination, suspendLimit: 3600)

    static func share(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: Wire.keyShareLength) }

    /// A proof that depends on every byte; the core does not care how.
    static func proof(of transcript: [UInt8], key: UInt64 = 0) -> Proof {
        var hash = key ^ 0xcbf2_9ce4_8422_2325
        for byte in transcript { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        var random = SplitMix(state: hash)
        return Proof(bytes: (0..<Wire.proofLength).map { _ in UInt8(truncatingIfNeeded: random.next()) })!
    }

    static func claim(
        _ role: Role, link: LinkNumber = 1, epoch: Epoch = 1, received: Position = 0, acknowledged: Position = 0,
        window: UInt16 = 16, isStale: Bool = false, isRestarted: Bool = false
    ) -> AttachClaim {
        AttachClaim(
            role: role, session: Pair.id, link: link, epoch: epoch, received: received, acknowledged: acknowledged,
            window: window, isStale: isStale, isRestarted: isRestarted)
    }

    /// The opener's word on a link's part.
    static func turn(_ number: UInt64, _ part: Turn.Part = .alone, acknowledged: Position = 0) -> [UInt8] {
        FrameHeader(type: .ack, flags: part.rawValue, offset: number, acknowledged: acknowledged).encodedBytes
    }

    static func sealed(_ claim: AttachClaim, key: UInt64 = 0) -> [UInt8] {
        claim.unsealed.sealed(with: proof(of: claim.unsealed.transcript, key: key))
    }
}

extension FrameHeader {
    /// Decodes the header at the start of a frame.
    init(frame: [UInt8]) throws {
        self = try FrameHeader(frame.span.bytes, at: 0)
    }
}

extension [UInt8] {
    /// The payload of a frame.
    var payload: [UInt8] { Array(dropFirst(Wire.headerLength)) }
}
