/// When to dial again (design of the schedule: at once, then 50 ms doubling to 250 ms for 30 s, then doubling to 5 s,
/// jittered by ±20 % so that many sessions cut by one fault do not return in step).
struct Backoff: Sendable {
    static let firstDelay = Interval.milliseconds(50)
    static let eagerLimit = Interval.milliseconds(250)
    static let eagerPeriod = Interval.seconds(30)
    static let patientLimit = Interval.seconds(5)
    /// A link that was current for this long was no vain dial, though an idle session has moved nothing over it.
    static let steadyLink = Interval.seconds(1)

    private enum Stage {
        case fresh
        case retrying(since: Instant, delay: Interval)
    }

    private var stage: Stage = .fresh
    private var random: SplitMix

    init(seed: UInt64) { random = SplitMix(state: seed) }

    /// Starts afresh: a new position was acknowledged, or the network changed.
    mutating func reset() { stage = .fresh }

    /// Whether it is still worth dialling more often than failures tell.
    func isEager(_ now: Instant) -> Bool {
        switch stage {
        case .fresh: true
        case .retrying(let since, _): now - since < Backoff.eagerPeriod
        }
    }

    /// When the next dial may begin, if the last one has failed at `now`.
    mutating func next(_ now: Instant) -> Instant {
        switch stage {
        case .fresh:
            stage = .retrying(since: now, delay: Backoff.firstDelay)
            return now
        case .retrying(let since, let delay):
            let limit = now - since < Backoff.eagerPeriod ? Backoff.eagerLimit : Backoff.patientLimit
            stage = .retrying(since: since, delay: min(delay * 2, limit))
            return now + jittered(min(delay, limit))
        }
    }

    private mutating func jittered(_ delay: Interval) -> Interval {
        let fifth = delay.nanoseconds / 5
        return Interval(nanoseconds: delay.nanoseconds - fifth + random.next() % (2 * fifth + 1))
    }
}

/// The SplitMix64 generator: good enough to spread retries, and the same everywhere for one seed.
public struct SplitMix: RandomNumberGenerator, Sendable {
    var state: UInt64

    public init(state: UInt64) { self.state = state }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
