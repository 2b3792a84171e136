/// When attempts begin and end.
public struct AttemptTiming: Hashable, Sendable {
    /// From the beginning of one attempt to that of the next, in nanoseconds. 250 ms is what RFC 8305, section 5, recommends.
    public var delay: UInt64
    /// After this many nanoseconds none begins any more, and all under way but attempt 0 are given up.
    public var budget: UInt64
    /// Attempts at a time that may yet be answered, at least 1. curl has 6, too.
    public var atOnce: Int
    /// After this many nanoseconds an attempt no longer counts among those, though it goes on. Else a few silent addresses would
    /// keep all others from being tried until the budget is spent; and to abort them would be to lose a slow path. A second
    /// is when TCP takes its first packet for lost (RFC 6298, section 2).
    public var patience: UInt64

    public init(
        delay: UInt64 = 250_000_000, budget: UInt64 = 30_000_000_000, atOnce: Int = 6, patience: UInt64 = 1_000_000_000
    ) {
        precondition(atOnce >= 1, "no attempt may be under way")
        self.delay = delay
        self.budget = budget
        self.atOnce = atOnce
        self.patience = patience
    }
}

/// What has become of attempt 0 before the planner got it.
public enum FirstAttempt: Hashable, Sendable {
    case notStarted
    /// It was made, by the application's own socket, and failed with this errno. It is not made again.
    case failed(Int32)
    /// It was made then, and disconnected as nothing answered. It is made again, and attempt 1 at the same time: it
    /// has had its delay.
    case silent(since: UInt64)
}

/// What the driver has to do. Attempts are numbered in the order in which they begin; 0 is what the application asked for.
public enum AttemptEffect: Hashable, Sendable {
    /// Connect, or send the request.
    case start(Int, CandidatePair)
    /// Close, without another word to the planner.
    case abort(Int)
    /// This attempt's connection is the application's. What follows in the same list are aborts of the others; those with
    /// smaller numbers had more time than the winner, and are worth a note in `BadPairs`.
    case won(Int, CandidatePair)
    /// Nothing worked; the application is told attempt 0's errno.
    case failed(Int32)
}
