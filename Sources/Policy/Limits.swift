/// What one agent or gateway may hold: the section `[limits]`.
public struct Limits: Equatable, Sendable {
    /// How long a session may be without a link. The smaller of what both ends say counts.
    public var suspend = Duration.seconds(24 * 3600)
    /// Bytes of replay buffers and held bytes, and of receive windows that are promised to peers. A session needs 64 KiB at
    /// least, since that much is promised before anything is said.
    public var memory = 2 << 30
    /// Sessions at a time.
    public var sessions = 50_000
    public var strangers = StrangerLimits()

    /// OPEN and OPENED tell it in whole seconds.
    public static let suspendRange = Duration.seconds(1)...Duration.seconds(10 * 365 * 86_400)
    static let memoryRange = 1 << 20...64 << 30
    static let sessionsRange = 1...1_000_000

    public init() {}
}

/// What those may make a gateway hold who have not proven anything: keys of the section `[limits]`.
///
/// An address here is an IPv4 address, or the first 64 bits of an IPv6 address: whoever has one has the rest (RFC 4291, 2.5.1).
public struct StrangerLimits: Equatable, Sendable {
    /// Connections that have not opened or joined a session.
    public var handshakes = 4096
    /// The same, from one address.
    public var handshakesPerAddress = 256
    /// From being accepted to the end of the first frame.
    public var handshakeTime = Duration.seconds(10)
    /// Bytes up to the end of the first frame. A frame of the handshake has at most 16 KiB (`Wire.maximumControl`).
    public var handshakeBytes = 16 << 10
    /// Sessions whose target is being connected to.
    public var opening = 4096
    /// The same, asked for from one address.
    public var openingPerAddress = 256

    static let handshakesRange = 1...1_000_000
    static let handshakeTimeRange = Duration.milliseconds(100)...Duration.seconds(60)
    /// An OPEN of today has 130 bytes with its preface; there must be room for items to come.
    static let handshakeBytesRange = 512...16 << 10

    public init() {}
}
