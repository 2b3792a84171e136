// The wire format of USL/1, whole: docs/protocol.md describes the same in prose. All integers are in network byte order.

/// Constants of the wire format.
public enum Wire {
    /// What both ends send first on a link: `USL/1\r\n` and NUL.
    public static let preface: [UInt8] = [0x55, 0x53, 0x4c, 0x2f, 0x31, 0x0d, 0x0a, 0x00]
    /// Bytes before the version digit in the preface: `USL/`.
    static let prefaceNameLength = 4

    public static let headerLength = 24
    /// Payload limit of DATA: the most that one frame can delay a control frame behind it.
    public static let maximumData = 64 * 1024
    /// Payload limit of every other type; bounds what an unproven peer can make this end hold.
    public static let maximumControl = 16 * 1024
    /// The unit of the window field.
    public static let windowUnit: UInt64 = 4096
    /// What a sender may send before it has seen any window.
    public static let initialWindow: UInt64 = 64 * 1024
    /// The largest window that the 16-bit field can say: 256 MiB less one unit.
    public static let maximumWindow: UInt64 = UInt64(UInt16.max) * windowUnit
    /// HMAC-SHA256.
    public static let proofLength = 32
    /// X25519.
    public static let keyShareLength = 32
}

public enum FrameType: UInt8, Sendable {
    /// New session: identifier chosen by the opener, key share, destination, protocol, limits.
    case open = 1
    /// Key share, instance number, proof.
    case opened = 2
    /// An errno-like code and a text for people.
    case refused = 3
    /// A link joins: session, link number, epoch, received position, proof.
    case attach = 4
    /// The same from the other side, or the highest epoch when the one given is stale.
    case attached = 5
    /// The session is over or unknown, and why, with the final positions if known.
    case gone = 6
    /// The addresses of a name are asked for.
    case lookup = 7
    /// The addresses of a name.
    case found = 8
    /// Whether the acceptor would connect to a destination.
    case ask = 9
    /// The answer to that.
    case answer = 10
    /// Bytes at `offset`.
    case data = 16
    /// Nothing but the header.
    case ack = 17
    /// End of this direction at `offset`; occupies one position, is acknowledged like a byte.
    case fin = 18
    /// The application reset its side at `offset`; the code is in `flags`.
    case abort = 19
    /// Liveness; `offset` carries an echo value.
    case ping = 32
    /// The echo of a PING.
    case pong = 33
    /// This link is being retired on purpose; not a failure.
    case leave = 34

    var maximumPayload: Int {
        switch self {
        case .data: Wire.maximumData
        case .open, .opened, .refused, .attach, .attached, .gone, .lookup, .found, .ask, .answer, .ack, .fin, .abort,
            .ping, .pong,
            .leave:
            Wire.maximumControl
        }
    }
}

/// The 24 bytes before every payload.
///
///     0      type
///     1      flags    type-specific; unknown flags are ignored
///     2–3    window   receive space beyond `acknowledged`, in units of 4 KiB
///     4–7    length   payload bytes
///     8–15   offset   position of the first payload byte
///     16–23  ack      next position expected from the peer
public struct FrameHeader: Equatable, Sendable {
    public var type: FrameType
    public var flags: UInt8
    public var window: UInt16
    public var length: UInt32
    public var offset: Position
    /// The next position expected from the peer: the leg has taken everything below it.
    public var acknowledged: Position

    public init(
        type: FrameType, flags: UInt8 = 0, window: UInt16 = 0, length: UInt32 = 0, offset: Position = 0,
        acknowledged: Position = 0
    ) {
        self.type = type
        self.flags = flags
        self.window = window
        self.length = length
        self.offset = offset
        self.acknowledged = acknowledged
    }

    /// The first position that the peer may not send to yet.
    var limit: Position { acknowledged &+ UInt64(window) * Wire.windowUnit }
}

extension FrameHeader {
    /// Writes the header as three big-endian words, as it is on the wire, from `start` on.
    public func encode(into bytes: inout MutableRawSpan, at start: Int = 0) {
        let first = UInt64(type.rawValue) << 56 | UInt64(flags) << 48 | UInt64(window) << 32 | UInt64(length)
        bytes.storeBytes(of: first.bigEndian, toByteOffset: start, as: UInt64.self)
        bytes.storeBytes(of: offset.bigEndian, toByteOffset: start + 8, as: UInt64.self)
        bytes.storeBytes(of: acknowledged.bigEndian, toByteOffset: start + 16, as: UInt64.self)
    }

    /// The same, in an array.
    public var encodedBytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Wire.headerLength)
        var span = bytes.mutableSpan
        var room = span.mutableBytes
        encode(into: &room)
        return bytes
    }

    /// Decodes 24 bytes and checks the type and the length limit.
    init(_ bytes: RawSpan, at start: Int) throws(FrameError) {
        let first = UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt64.self))
        let rawType = UInt8(truncatingIfNeeded: first >> 56)
        let length = UInt32(truncatingIfNeeded: first)
        guard let type = FrameType(rawValue: rawType) else { throw .unknownType(rawType) }
        guard Int(length) <= type.maximumPayload else { throw .oversized(type, length: length) }
        self.init(
            type: type,
            flags: UInt8(truncatingIfNeeded: first >> 48),
            window: UInt16(truncatingIfNeeded: first >> 32),
            length: length,
            offset: UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: start + 8, as: UInt64.self)),
            acknowledged: UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: start + 16, as: UInt64.self)))
    }
}

/// Why the bytes of a link are not USL/1. Any of these ends the link.
public enum FrameError: Error, Equatable, Sendable {
    /// The first bytes are not a USL preface.
    case notUSL
    /// A USL preface of a version that this end does not speak.
    case otherVersion
    /// Types 48–63 are reserved for several sessions on one link; the rest mean nothing.
    case unknownType(UInt8)
    case oversized(FrameType, length: UInt32)
    /// A handshake payload that breaks the item format, or lacks an item, or has one of the wrong length.
    case malformed(FrameType)
    /// A critical item that this end does not know, by its 16-bit type.
    case unknownCriticalItem(UInt16)
    /// A frame type that has no place in this state of the link.
    case unexpected(FrameType)
}
