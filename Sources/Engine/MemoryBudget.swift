import Synchronization

/// The memory that the sessions of a process may hold, in bytes: slots of all its arenas, and the receive windows that peers
/// were promised, since a promise is kept in a slot when it comes to that. Shared by all loops.
public final class MemoryBudget: Sendable {
    public let limit: Int
    private let used = Atomic<Int>(0)
    private let shortageHandler = Mutex<(@Sendable () -> Void)?>(nil)

    public init(limit: Int) { self.limit = limit }

    public var bytesUsed: Int { used.load(ordering: .relaxed) }

    /// Takes a part, if it is there.
    public func take(_ bytes: Int) -> Bool { take(bytes, below: limit) }

    /// Takes a part that a new session can do without: of the first quarter only.
    func takeForComfort(_ bytes: Int) -> Bool { take(bytes, below: limit / 4) }

    /// Whether a ring or a window may grow to `size`: the less is left, the smaller they stay, so that some sessions in a
    /// hurry leave enough for many that are not. The last quarter is for those that would else have nothing.
    func allowsGrowth(to size: Int) -> Bool { size <= (limit / 4 * 3 - bytesUsed) / 8 }

    /// Takes a part for something that grows.
    func takeForGrowth(_ bytes: Int, to size: Int) -> Bool { allowsGrowth(to: size) && take(bytes, below: limit) }

    private func take(_ bytes: Int, below bound: Int) -> Bool {
        let now = used.add(bytes, ordering: .relaxed).newValue
        if now <= bound { return true }
        used.subtract(bytes, ordering: .relaxed)
        return false
    }

    /// Takes a part that a process before this one had taken already.
    public func takeOver(_ bytes: Int) { used.add(bytes, ordering: .relaxed) }

    public func giveBack(_ bytes: Int) { used.subtract(bytes, ordering: .relaxed) }

    // MARK: - Shortage

    /// Sets what is called, on any loop's thread, when a session that could go on has no memory for it.
    public func whenShort(_ handler: @escaping @Sendable () -> Void) { shortageHandler.withLock { $0 = handler } }

    func noteShortage() { shortageHandler.withLock { $0 }?() }
}
