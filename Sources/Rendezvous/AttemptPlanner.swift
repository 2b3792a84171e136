/// Tries paths until one works, without ever giving one up because the next begins: RFC 8305 with more than one source.
///
/// A value that does nothing by itself. The driver says what happened, and each time gets a list of what to do now:
///
/// * `start` once; then `connected` and `failed` for each attempt that it was told to start (in a datagram protocol: answered,
///   and refused);
/// * `timePassed` at `nextDeadline`, which may have changed with every call;
/// * `offer` whenever further candidates are known, before `start` or later; `noMoreWillCome` when all are.
///
/// The first attempt that connects wins. If none does, the application gets the errno of attempt 0; what the others
/// failed with is about addresses that it never asked for. Attempt 0 has no end of its own here: it lasts as long as the kernel
/// lets it, as it would without USL.
///
/// Times are nanoseconds on a clock of the driver's choice that never goes back.
public struct AttemptPlanner: Sendable {
    private enum Phase: Hashable {
        case notStarted
        /// Attempts begin.
        case racing(Race)
        /// The budget is spent: only attempt 0 is under way.
        case lastHope
        case over
    }

    private struct Race: Hashable {
        /// When the budget is spent.
        let end: UInt64
        /// The earliest time at which another attempt may begin.
        var nextStart: UInt64
    }

    private enum State: Hashable {
        case underWay(since: UInt64)
        case failed(Int32)
        case aborted
    }

    private struct Attempt: Hashable {
        let pair: CandidatePair
        var state: State

        /// When it began; nil if it is not under way.
        var underWaySince: UInt64? {
            switch state {
            case .underWay(let since): since
            case .failed, .aborted: nil
            }
        }
    }

    private let timing: AttemptTiming
    private let history: FirstAttempt
    private var phase = Phase.notStarted
    /// Begun or over; the index is the number.
    private var attempts: [Attempt] = []
    /// Not begun, in the order in which they will; attempt 0 before `start`.
    private var waiting: [CandidatePair]
    private var mayMoreCome = true

    /// - Parameter asked: attempt 0, `Candidates.first`.
    public init(asked: CandidatePair, history: FirstAttempt = .notStarted, timing: AttemptTiming = AttemptTiming()) {
        self.timing = timing
        self.history = history
        waiting = [asked]
    }

    // MARK: - What happened

    /// Attempt 0 begins, or goes on from what has become of it.
    public mutating func start(now: UInt64) -> [AttemptEffect] {
        guard phase == .notStarted else { return [] }
        let asked = waiting.removeFirst()
        switch history {
        case .notStarted:
            race(since: now, nextStart: now + timing.delay)
            return [begin(asked, now)] + proceed(now)
        case .silent(let since):
            race(since: since, nextStart: now)
            return [begin(asked, now)] + proceed(now)
        case .failed(let errno):
            race(since: now, nextStart: now)
            attempts.append(Attempt(pair: asked, state: .failed(errno)))
            return proceed(now)
        }
    }

    /// Further candidates. What was offered before is skipped, unless it still waits: then it moves to its place in the new
    /// order, since a later offer knows more. What waits and is not in it comes behind.
    public mutating func offer(_ more: [CandidatePair], now: UInt64) -> [AttemptEffect] {
        // Before the start attempt 0 is the one that waits first.
        let reserved = phase == .notStarted ? Array(waiting.prefix(1)) : []
        var seen = Set(reserved + attempts.map(\.pair))
        let fresh = (more + waiting.dropFirst(reserved.count)).filter { seen.insert($0).inserted }
        waiting = reserved + fresh.prefix(Candidates.maximum - attempts.count - reserved.count)
        return proceed(now)
    }

    /// Every candidate has been offered: from now on it can be said that all failed.
    public mutating func noMoreWillCome(now: UInt64) -> [AttemptEffect] {
        mayMoreCome = false
        return proceed(now)
    }

    /// An attempt has its connection, or its answer.
    public mutating func connected(_ number: Int, now: UInt64) -> [AttemptEffect] {
        guard isUnderWay(number) else { return [] }
        let winner = attempts[number].pair
        phase = .over
        return [.won(number, winner)] + abort { $0 != number }
    }

    /// An attempt failed, and the next need not wait.
    public mutating func failed(_ number: Int, errno: Int32, now: UInt64) -> [AttemptEffect] {
        guard isUnderWay(number) else { return [] }
        attempts[number].state = .failed(errno)
        if case .racing(var race) = phase {
            race.nextStart = min(race.nextStart, now)
            phase = .racing(race)
        }
        return proceed(now)
    }

    public mutating func timePassed(now: UInt64) -> [AttemptEffect] { proceed(now) }

    // MARK: - Questions

    /// When `timePassed` is to be called; nil when nothing depends on time.
    public var nextDeadline: UInt64? {
        switch phase {
        case .notStarted, .lastHope, .over: nil
        case .racing(let race): waiting.isEmpty ? race.end : min(max(race.nextStart, roomSince), race.end)
        }
    }

    /// It was won, or all failed.
    public var isOver: Bool { phase == .over }

    /// When there is or was room for another attempt, beside those that were under way for less than `patience`.
    private var roomSince: UInt64 {
        // Numbers grow with time, so the last are the youngest.
        let youngest = attempts.compactMap(\.underWaySince).suffix(timing.atOnce)
        guard youngest.count == timing.atOnce, let since = youngest.first else { return 0 }
        return since + timing.patience
    }

    private func isUnderWay(_ number: Int) -> Bool {
        phase != .over && attempts.indices.contains(number) && attempts[number].underWaySince != nil
    }

    // MARK: - Transitions

    private mutating func race(since: UInt64, nextStart: UInt64) {
        phase = .racing(Race(end: since + timing.budget, nextStart: nextStart))
    }

    /// Begins what may begin now, and says so when nothing can work any more.
    private mutating func proceed(_ now: UInt64) -> [AttemptEffect] {
        var effects: [AttemptEffect] = []
        switch phase {
        case .notStarted, .over: return []
        case .lastHope: break
        case .racing(let race) where now >= race.end:
            phase = .lastHope
            effects = abort { $0 != 0 }
        case .racing(var race):
            while race.nextStart <= now, roomSince <= now, !waiting.isEmpty {
                effects.append(begin(waiting.removeFirst(), now))
                race.nextStart = now + timing.delay
            }
            phase = .racing(race)
        }
        return effects + concludeIfHopeless()
    }

    private mutating func concludeIfHopeless() -> [AttemptEffect] {
        guard case .failed(let errno) = attempts[0].state, attempts.allSatisfy({ $0.underWaySince == nil }) else {
            return []
        }
        switch phase {
        case .notStarted, .over: return []
        // Nothing waits here: it would have begun when the last one failed.
        case .racing where mayMoreCome: return []
        case .racing, .lastHope:
            phase = .over
            return [.failed(errno)]
        }
    }

    private mutating func begin(_ pair: CandidatePair, _ now: UInt64) -> AttemptEffect {
        attempts.append(Attempt(pair: pair, state: .underWay(since: now)))
        return .start(attempts.count - 1, pair)
    }

    private mutating func abort(where isMeant: (Int) -> Bool) -> [AttemptEffect] {
        attempts.indices.filter { attempts[$0].underWaySince != nil && isMeant($0) }.map { number in
            attempts[number].state = .aborted
            return .abort(number)
        }
    }
}
