/// What one agent or gateway may hold: the section `[limits]`.
public struct Limits: Equatable, Sendable {
    /// How long a session may be without a link. The smaller of what both ends say counts.
    public var suspend = Duration.seconds(24 * 3600)
    /// Bytes of replay buffers and held bytes, and of receive windows that are promised to peers. A session needs 64 KiB at
    /// least, since that much is promised before anything is said.
    public var memory = 2 << 30
    /// Sessions at a time.
    public var sessions = 50_000

    /// OPEN and OPENED tell it in whole seconds.
    public static let suspendRange = Duration.seconds(1)...Duration.seconds(10 * 365 * 86_400)
    static let memoryRange = 1 << 20...64 << 30
    static let sessionsRange = 1...1_000_000

    public init() {}
}
