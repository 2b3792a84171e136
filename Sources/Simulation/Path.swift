import SessionProtocol

/// A way between the two hosts, from one of the opener's addresses.
struct Path {
    let plan: Scenario.Path
    /// By the role of the writer: until when the path is busy with what was sent before.
    private var busyUntil: [Instant]
    /// By the role of the writer: what is sent until then does not arrive, and nobody is told.
    private(set) var silentUntil: [Instant]
    /// The opener has an address on it until nil; connections live no longer than their address.
    var address: Int? = 0
    /// The opener has given it up.
    var isRemoved = false
    /// By the role of the writer: bytes of the session.
    var carried: [UInt64] = [0, 0]
    /// Since then nothing disturbs what goes over it.
    var quietSince: Instant
    /// When it was last usable again, if it ever was not.
    var returnedAt: Instant?
    /// The next address that it will have.
    var nextAddress = 1

    init(_ plan: Scenario.Path, _ now: Instant) {
        self.plan = plan
        busyUntil = [now, now]
        quietSince = now
        silentUntil = [now, now]
    }

    /// When `count` bytes that `role` sends now have left, behind all that was sent before.
    mutating func departure(of count: Int, from role: Role, _ now: Instant) -> Instant {
        guard let rate = plan.rate else { return now }
        let length = Interval(nanoseconds: UInt64(count) * 1_000_000_000 / rate)
        busyUntil[role.index] = max(busyUntil[role.index], now) + length
        return busyUntil[role.index]
    }

    mutating func silence(from role: Role, until end: Instant) {
        silentUntil[role.index] = max(silentUntil[role.index], end)
    }

    /// Nothing keeps packets back, in either direction.
    func isClear(_ now: Instant) -> Bool { address != nil && silentUntil.allSatisfy { $0 <= now } }

    /// A round trip without a queue, at most.
    var roundTrip: Interval { (plan.latency + plan.jitter) * 2 }

    /// A round trip behind a full queue, and behind a frame that the socket's buffer takes only bit by bit.
    func longestRoundTrip(_ scenario: Scenario) -> Interval {
        var longest = roundTrip
        if let rate = plan.rate {
            longest = longest + Interval(nanoseconds: 2 * UInt64(scenario.pipeCapacity) * 1_000_000_000 / rate)
        }
        let frame = max(scenario.opener.maximumData, scenario.acceptor.maximumData)
        return longest * UInt64(1 + frame / scenario.pipeCapacity)
    }
}
