import SessionProtocol

/// The memory behind what a session has promised its peer to hold. It goes back to the budget with its owner.
struct WindowPromise: ~Copyable {
    /// How large the window may be, in bytes: what is promised before anything is said, and what was taken for more.
    private(set) var window: Int
    private let maximum: Int
    private let budget: MemoryBudget
    /// Bytes that had been delivered when it was last made larger.
    private var deliveredBefore: Position = 0

    /// For a new session, of which somebody has taken ``SessionBuffers/leastPromise`` from the budget already.
    init(_ buffers: SessionBuffers, from budget: MemoryBudget) {
        let comfort = min(SessionBuffers.firstWindow, buffers.window) - SessionBuffers.leastPromise
        window = SessionBuffers.leastPromise + (comfort > 0 && budget.takeForComfort(comfort) ? comfort : 0)
        maximum = buffers.window
        self.budget = budget
    }

    deinit { budget.giveBack(window - SessionBuffers.leastPromise) }

    /// Doubles for a session whose window has been passed through and is as large as it may be, while there is plenty.
    ///
    /// - Parameters:
    ///   - promised: bytes that the peer may send.
    ///   - delivered: bytes that the application has taken so far.
    /// - Returns: whether the window may be larger now.
    mutating func growIfUsed(promised: UInt64, delivered: Position) -> Bool {
        guard delivered - deliveredBefore >= window, promised > window / 2, window < maximum else { return false }
        deliveredBefore = delivered
        let larger = min(2 * window, maximum)
        guard budget.takeForGrowth(larger - window, to: larger) else { return false }
        window = larger
        return true
    }
}
