import SessionProtocol

/// Sizes that a driver works with, in bytes.
public struct SessionBuffers: Sendable {
    /// What a peer may send before it is told anything (rule 4), so that a session needs it at least.
    public static let leastPromise = 64 << 10
    /// The window that a session begins with where there is memory for it.
    static let firstWindow = 256 << 10

    /// Largest replay buffer of one session.
    public var replay: Int
    /// Largest receive window of one session, for bytes that its application does not take; at least 64 KiB.
    public var window: Int

    public init(replay: Int = 16 << 20, window: Int = 16 << 20) {
        self.replay = replay
        self.window = window
    }

    /// What is promised to the peer is never more than can be held.
    func configuration(
        suspendLimit: Interval, seed: UInt64, _ promise: borrowing WindowPromise
    ) -> SessionConfiguration {
        SessionConfiguration(
            window: UInt64(promise.window), maximumWindow: UInt64(promise.window), suspendLimit: suspendLimit,
            seed: seed)
    }
}
