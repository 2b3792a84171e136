import SessionProtocol

/// Sizes that a driver works with, in bytes.
public struct SessionBuffers: Sendable {
    /// Largest replay buffer of one session.
    public var replay: Int
    /// Largest receive window of one session, for bytes that its application does not take; at least 64 KiB.
    public var window: Int

    public init(replay: Int = 16 << 20, window: Int = 16 << 20) {
        self.replay = replay
        self.window = window
    }

    /// What is promised to the peer is never more than can be held.
    func configuration(suspendLimit: Interval, seed: UInt64) -> SessionConfiguration {
        var configuration = SessionConfiguration(
            maximumWindow: UInt64(window), suspendLimit: suspendLimit, seed: seed)
        configuration.window = min(configuration.window, configuration.maximumWindow)
        return configuration
    }
}
