import DequeModule
import Engine
public import Kernel
public import Policy
import SessionProtocol

/// Keeps a process within its `[limits]`: lets sessions in, and when there is no room gives up those that have been suspended
/// longest. On the main loop.
public final class Admission {
    /// Suspended sessions that are looked for at a time: each look is at all sessions.
    private static let batch = 32

    private struct Candidate: Sendable {
        let id: SessionID
        let since: Instant
    }

    /// Descriptors of a session: its leg, and one link.
    private static let descriptorsEach = 2
    /// Descriptors that no session gets: of the process itself, and of connections that are to become sessions or to be told why
    /// they do not.
    private static func reserve(of descriptors: Int) -> Int { max(32, descriptors / 8) }

    /// Of these, `sessions` counts; what is here beyond it stays.
    public var limits: Limits
    /// Sessions that there are descriptors for.
    private let descriptorRoom: Int
    private let budget: MemoryBudget
    private let pool: LoopPool
    /// Sessions that are here, those included that wait for their target.
    public private(set) var count = 0
    /// Relayed connections: each takes as many descriptors as a session.
    private var relays = 0
    /// Who waits for room, in order.
    private var waiting: Deque<(Shortage?) -> Void> = []
    /// Suspended sessions, the longest first, as of the last look.
    private var candidates: Deque<Candidate> = []
    private var isMakingRoom = false

    /// - Parameter descriptors: how many this process may have.
    public init(_ limits: Limits, pool: LoopPool, descriptors: Int = DescriptorLimit.current) {
        self.limits = limits
        descriptorRoom = max(1, (descriptors - Admission.reserve(of: descriptors)) / Admission.descriptorsEach)
        self.pool = pool
        budget = pool.main.arena.budget
        let (main, me) = (pool.main.mailbox, LoopBound(self, on: pool.main))
        budget.whenShort {
            main.post { me.on($0).relieve() }
        }
    }

    // MARK: - Coming and going

    /// Lets a session in, if need be when others have been given up for it, and calls `decided`: with nil if it is in, and
    /// ``leave()`` must follow one day, or with what is short.
    public func admit(_ decided: @escaping (Shortage?) -> Void) {
        if waiting.isEmpty, enter() == nil { return decided(nil) }
        waiting.append(decided)
        if !isMakingRoom { makeRoom() }
    }

    /// A session of a process before this one is here, whatever the limits say.
    public func takeOver() {
        count += 1
        budget.takeOver(SessionBuffers.leastPromise)
    }

    /// A session that was let in has ended.
    public func leave() {
        count -= 1
        budget.giveBack(SessionBuffers.leastPromise)
    }

    /// Lets a relayed connection in, if there are descriptors for it; ``leaveRelay()`` must follow one day. All relays together get
    /// half of them at most: nobody who has proven anything is behind them.
    public func enterRelay() -> Bool {
        guard relays < descriptorRoom / 2, count + relays < descriptorRoom else { return false }
        relays += 1
        return true
    }

    /// A relayed connection that was let in has ended.
    public func leaveRelay() { relays -= 1 }

    private func enter() -> Shortage? {
        if count >= limits.sessions { return .sessions }
        if count + relays >= descriptorRoom { return .descriptors }
        if !budget.take(SessionBuffers.leastPromise) { return .memory }
        count += 1
        return nil
    }

    // MARK: - Making room

    /// A session that is here has no memory to go on.
    private func relieve() {
        guard !isMakingRoom else { return }
        giveUpNext(because: .memory) { [self] _ in makeRoom() }
    }

    private func makeRoom() {
        while let decided = waiting.first {
            guard let shortage = enter() else {
                waiting.removeFirst()
                decided(nil)
                continue
            }
            return giveUpNext(because: shortage) { [self] isDone in
                if !isDone, let decided = waiting.popFirst() { decided(shortage) }
                makeRoom()
            }
        }
    }

    /// Gives up the session that has been suspended longest, and calls `then` when it is gone; with false if there is none.
    private func giveUpNext(because shortage: Shortage, then: @escaping (Bool) -> Void) {
        isMakingRoom = true
        if let candidate = candidates.popFirst() { return giveUp(candidate, because: shortage, then) }
        let me = LoopBound((self, then), on: pool.main)
        pool.gather {
            $0.longestSuspended(atMost: Self.batch).map { Candidate(id: $0.id, since: $0.since) }
        } then: { found, loop in
            let (admission, then) = me.on(loop)
            admission.candidates = Deque(found.sorted { $0.since < $1.since }.prefix(Self.batch))
            guard let candidate = admission.candidates.popFirst() else {
                admission.isMakingRoom = false
                return then(false)
            }
            admission.giveUp(candidate, because: shortage, then)
        }
    }

    private func giveUp(_ candidate: Candidate, because shortage: Shortage, _ then: @escaping (Bool) -> Void) {
        let me = LoopBound((self, then), on: pool.main)
        pool.gather { table -> [Bool] in
            // It may have been resumed meanwhile.
            guard table[candidate.id]?.suspendedSince == candidate.since else { return [] }
            table.giveUp(candidate.id, because: .limit(shortage))
            return [true]
        } then: { given, loop in
            let (admission, then) = me.on(loop)
            guard given.isEmpty else {
                admission.isMakingRoom = false
                return then(true)
            }
            admission.giveUpNext(because: shortage, then: then)
        }
    }
}
