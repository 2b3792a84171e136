/// Where the acceptor shall connect to: an address and a TCP port.
public struct Destination: Hashable, Sendable {
    /// 4 or 16 bytes in network byte order.
    public let address: [UInt8]
    public let port: UInt16

    public init?(address: [UInt8], port: UInt16) {
        guard address.count == 4 || address.count == 16 else { return nil }
        self.address = address
        self.port = port
    }

    /// The value of its item.
    var encoded: [UInt8] { address + [UInt8(port >> 8), UInt8(port & 0xff)] }

    /// nil if it is no IPv4 or IPv6 address.
    init?(_ item: ItemReader.Item, in frame: FrameType) throws(FrameError) {
        guard item.value.count > 2 else { throw .malformed(frame) }
        let port = item.value.suffix(2).reduce(0) { $0 << 8 | UInt16($1) }
        self.init(address: [UInt8](item.value.dropLast(2)), port: port)
    }
}

/// OPEN: asks for a new session.
public struct OpenMessage: Hashable, Sendable {
    public let session: SessionID
    /// The opener's X25519 public key.
    public let keyShare: [UInt8]
    public let destination: Destination
    /// How long the opener wants the session kept without a link, in seconds.
    public let suspendLimit: UInt32

    /// The one protocol that USL/1 carries: the number of TCP (IANA protocol numbers).
    static let tcp: UInt8 = 6

    public init(session: SessionID, keyShare: [UInt8], destination: Destination, suspendLimit: UInt32) {
        precondition(keyShare.count == Wire.keyShareLength, "an X25519 key share is 32 bytes")
        self.session = session
        self.keyShare = keyShare
        self.destination = destination
        self.suspendLimit = suspendLimit
    }

    /// The whole frame. A repeated OPEN must be equal to the first byte for byte.
    public var encoded: [UInt8] {
        var writer = ItemWriter()
        writer.append(.session, session.high, session.low)
        writer.append(.keyShare, keyShare)
        writer.append(.destination, destination.encoded)
        writer.append(.transportProtocol, OpenMessage.tcp)
        writer.append(.suspendLimit, suspendLimit)
        return writer.finish(FrameHeader(type: .open))
    }

    public init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .open)
        var session: SessionID?
        var keyShare: [UInt8]?
        var destination: Destination?
        var protocolNumber: UInt8?
        var suspendLimit: UInt32 = .max
        while let item = try reader.next() {
            switch item.type {
            case .session:
                let (high, low) = try item.pair(in: .open)
                session = SessionID(high: high, low: low)
            case .keyShare: keyShare = try item.bytes(count: Wire.keyShareLength, in: .open)
            case .destination: destination = try Destination(item, in: .open)
            case .transportProtocol: protocolNumber = try item.integer(in: .open)
            case .suspendLimit: suspendLimit = try item.integer(in: .open)
            case .linkNumber, .epoch, .received, .instance, .code, .text, .finalPositions, .name, .addresses, .proof:
                continue
            }
        }
        guard let session, let keyShare, let destination, protocolNumber == OpenMessage.tcp else {
            throw .malformed(.open)
        }
        self.init(session: session, keyShare: keyShare, destination: destination, suspendLimit: suspendLimit)
    }
}

/// OPENED: the target has accepted.
public struct OpenedMessage: Equatable, Sendable {
    /// The acceptor's X25519 public key.
    public let keyShare: [UInt8]
    /// Tells this gateway from any other that might be reached at the same address.
    public let instance: UInt64
    /// How long the acceptor keeps the session without a link, in seconds.
    public let suspendLimit: UInt32

    public init(keyShare: [UInt8], instance: UInt64, suspendLimit: UInt32) {
        precondition(keyShare.count == Wire.keyShareLength, "an X25519 key share is 32 bytes")
        self.keyShare = keyShare
        self.instance = instance
        self.suspendLimit = suspendLimit
    }

    /// The answer to `open` (the whole OPEN frame), which its proof covers too.
    public func unsealed(answering open: [UInt8]) -> UnsealedFrame {
        var writer = ItemWriter()
        writer.append(.keyShare, keyShare)
        writer.append(.instance, instance)
        writer.append(.suspendLimit, suspendLimit)
        return UnsealedFrame(
            context: ProofContext.opened + open,
            frame: writer.finish(FrameHeader(type: .opened), trailing: ItemType.proofItemLength))
    }

    static func decode(
        _ header: FrameHeader, _ payload: [UInt8], answering open: [UInt8]
    ) throws(FrameError) -> Unverified<OpenedMessage> {
        var reader = ItemReader(payload, of: .opened)
        var keyShare: [UInt8]?
        var instance: UInt64?
        var suspendLimit: UInt32 = .max
        var proof: (Proof, start: Int)?
        while let item = try reader.next() {
            switch item.type {
            case .keyShare: keyShare = try item.bytes(count: Wire.keyShareLength, in: .opened)
            case .instance: instance = try item.integer(in: .opened)
            case .suspendLimit: suspendLimit = try item.integer(in: .opened)
            case .proof: proof = try item.proof(endOf: payload, in: .opened)
            case .session, .destination, .transportProtocol, .linkNumber, .epoch, .received, .code, .text,
                .finalPositions, .name, .addresses:
                continue
            }
        }
        guard let keyShare, let instance, let proof else { throw .malformed(.opened) }
        return Unverified(
            message: OpenedMessage(keyShare: keyShare, instance: instance, suspendLimit: suspendLimit),
            proof: proof.0,
            context: ProofContext.opened + open,
            frame: header.encodedBytes + payload[..<proof.start])
    }
}

extension Unverified where Message == OpenedMessage {
    /// The acceptor's key share, from which the key is derived that the proof is checked with.
    public var keyShare: [UInt8] { message.keyShare }
}

extension ItemReader.Item {
    /// The proof, which must be the last item.
    func proof(endOf payload: [UInt8], in frame: FrameType) throws(FrameError) -> (Proof, start: Int) {
        guard value.endIndex == payload.endIndex, let proof = Proof(bytes: [UInt8](value)) else {
            throw .malformed(frame)
        }
        return (proof, start)
    }
}

/// REFUSED: no session; the target was not reached or is not allowed.
public struct RefusedMessage: Hashable, Sendable {
    public enum Code: UInt16, Sendable {
        /// Nobody listens there.
        case connectionRefused = 1
        case networkUnreachable = 2
        case hostUnreachable = 3
        case timedOut = 4
        /// The gateway's allow list does not have the target.
        case notAllowed = 5
        /// The gateway is out of descriptors, memory or sessions.
        case exhausted = 6
        /// OPEN was not understood.
        case malformed = 7
        /// The identifier is in use with another key share.
        case identifierInUse = 8
        /// The connection failed in some other way.
        case failed = 9
    }

    public let code: Code
    /// For people; at most 1 KiB of it is sent.
    public let text: String

    public init(code: Code, text: String) {
        self.code = code
        self.text = text
    }

    static let maximumText = 1024

    public var encoded: [UInt8] {
        var writer = ItemWriter()
        writer.append(.code, code.rawValue)
        writer.append(.text, Array(text.utf8.prefix(RefusedMessage.maximumText)))
        return writer.finish(FrameHeader(type: .refused))
    }

    public init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .refused)
        var code = Code.failed
        var text = ""
        while let item = try reader.next() {
            switch item.type {
            case .code: code = Code(rawValue: try item.integer(in: .refused)) ?? .failed
            case .text: text = printable(item.value)
            case .session, .keyShare, .destination, .transportProtocol, .linkNumber, .epoch, .received, .instance,
                .suspendLimit, .finalPositions, .name, .addresses, .proof:
                continue
            }
        }
        self.init(code: code, text: text)
    }
}

/// A peer's text made safe for a terminal: control characters, which could drive it, become `?`.
func printable(_ bytes: ArraySlice<UInt8>) -> String {
    String(
        decoding: bytes.prefix(RefusedMessage.maximumText).map { $0 < 0x20 || $0 == 0x7f ? UInt8(0x3f) : $0 },
        as: UTF8.self)
}
