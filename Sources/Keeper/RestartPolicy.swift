/// When a worker that has died is followed by another. At once as a rule; one that dies again and again as soon as it has
/// started would do so for ever.
struct RestartPolicy {
    /// Deaths in a row, each sooner than ``steadyLife``, before the keeper gives up.
    static let limit = 10
    /// Deaths in a row without a pause behind them.
    static let free = 3
    static let steadyLife = Duration.milliseconds(500)
    private static let firstPause = Duration.milliseconds(50)
    private static let longestPause = Duration.seconds(1)

    private var quickDeaths = 0

    /// How long to wait before the next worker; nil: give up.
    ///
    /// - Parameter life: how long the worker has lived.
    mutating func pause(after life: Duration) -> Duration? {
        if life >= Self.steadyLife { quickDeaths = 0 }
        quickDeaths += 1
        if quickDeaths >= Self.limit { return nil }
        if quickDeaths <= Self.free { return .zero }
        return min(Self.firstPause * (1 << (quickDeaths - Self.free - 1)), Self.longestPause)
    }
}
