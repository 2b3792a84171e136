/// An HMAC-SHA256 under the session's resume key. The driver makes it: the core only knows what it covers.
public struct Proof: Sendable {
    public let bytes: [UInt8]

    public init?(bytes: [UInt8]) {
        guard bytes.count == Wire.proofLength else { return nil }
        self.bytes = bytes
    }

    /// Compares without telling by its duration where a difference is.
    func matches(_ other: Proof) -> Bool {
        var difference: UInt8 = 0
        for index in 0..<Wire.proofLength { difference |= bytes[index] ^ other.bytes[index] }
        return difference == 0
    }
}

/// A frame that wants its proof: the driver computes HMAC-SHA256 of ``transcript`` and calls ``sealed(with:)``.
public struct UnsealedFrame: Sendable {
    /// What the proof covers before the frame: a label with the role that keeps proofs from being reflected, and for
    /// OPENED the OPEN that it answers.
    let context: [UInt8]
    /// The frame up to its proof item; the length in its header counts that item.
    let frame: [UInt8]

    /// Every byte that the proof covers.
    public var transcript: [UInt8] { context + frame }

    /// The complete frame.
    public func sealed(with proof: Proof) -> [UInt8] {
        var bytes = frame
        bytes.reserveCapacity(frame.count + ItemType.proofItemLength)
        bytes.append(UInt8(truncatingIfNeeded: ItemType.proof.rawValue >> 8))
        bytes.append(UInt8(truncatingIfNeeded: ItemType.proof.rawValue))
        bytes.append(0)
        bytes.append(UInt8(Wire.proofLength))
        bytes.append(contentsOf: proof.bytes)
        return bytes
    }
}

/// A received message whose proof nobody has checked yet. Its content is reached only by ``verified(by:)``, except what
/// a driver needs to find the key.
public struct Unverified<Message: Sendable>: Sendable {
    let message: Message
    let proof: Proof
    let context: [UInt8]
    let frame: [UInt8]

    /// Every byte that the proof must cover.
    public var transcript: [UInt8] { context + frame }

    /// The message, if `expected`, the driver's own HMAC of ``transcript``, equals the proof that came with it.
    public func verified(by expected: Proof) -> Verified<Message>? {
        proof.matches(expected) ? Verified(message: message) : nil
    }
}

/// A message whose proof was right: only ``Unverified/verified(by:)`` makes one.
public struct Verified<Message: Sendable>: Sendable {
    public let message: Message
}

/// What a proof is for, and by whom, as the first bytes of its transcript.
enum ProofContext {
    static let opened: [UInt8] = Array("USL/1 opened".utf8)

    static func attach(by role: Role) -> [UInt8] {
        Array("USL/1 attach".utf8) + [role.rawValue]
    }
}
