import SessionProtocol

/// What the kernel at the writer's end tells of one direction of a connection, as TCP_INFO does: bytes acknowledged,
/// retransmissions, round trip. Worked out from sendings and arrivals when it is asked for.
struct TransportCounters {
    private struct Sending {
        let sentAt: Instant
        /// All bytes up to the end of this one.
        let total: UInt64
        /// When its acknowledgement is back, once that is known.
        var acknowledgedAt: Instant?
        var wasSentAgain = false
    }

    /// Between two tries at most: TCP_RTO_MAX_MS, which links have at 1 s.
    static let longestTimeout = Interval.seconds(1)
    /// TCP's own delay of acknowledgements and the granularity of its timers.
    static let slack = Interval.milliseconds(200)

    private var sendings: [Sending] = []
    private var first = 0
    private var nextArrival = 0
    private var written: UInt64 = 0
    private var lastAcknowledgement: Instant
    /// Bytes whose acknowledgement is back.
    private(set) var acknowledged: UInt64 = 0
    /// Of what has been acknowledged since.
    private var retransmissions: UInt32 = 0
    private(set) var roundTrip: Interval?
    /// When an acknowledgement was last back.
    private var progressAt: Instant

    init(_ now: Instant) {
        lastAcknowledgement = now
        progressAt = now
    }

    var hasUnacknowledged: Bool { acknowledged < written }
    var unacknowledged: Int { Int(written - acknowledged) }

    /// Its retransmission timer has run out: it sends the same again, and nothing new.
    func isWaiting(_ now: Instant) -> Bool { silence(now) > firstTimeout }

    mutating func sent(_ count: Int, _ now: Instant) {
        advance(now)
        if first > 64, first * 2 > sendings.count {
            sendings.removeFirst(first)
            nextArrival -= first
            first = 0
        }
        written += UInt64(count)
        sendings.append(Sending(sentAt: now, total: written))
    }

    /// The next sending has arrived; its acknowledgement is back at `time`, or never.
    ///
    /// - Parameter longest: the longest round trip of the path. What took longer was sent again.
    mutating func arrived(acknowledgedAt time: Instant?, longest: Interval) {
        guard nextArrival < sendings.count else { return }
        if let time {
            lastAcknowledgement = max(lastAcknowledgement, time)
            sendings[nextArrival].acknowledgedAt = lastAcknowledgement
            sendings[nextArrival].wasSentAgain = lastAcknowledgement - sendings[nextArrival].sentAt > longest
        }
        nextArrival += 1
    }

    /// A packet was lost on its way and sent again so often.
    mutating func lost(_ tries: UInt32) { retransmissions += tries }

    /// Counts what has been acknowledged by now.
    mutating func advance(_ now: Instant) {
        while first < nextArrival, let back = sendings[first].acknowledgedAt, back <= now {
            let sending = sendings[first]
            retransmissions += tries(in: back - max(sending.sentAt, progressAt))
            // What was sent again says nothing of the round trip (RFC 6298, section 3).
            if !sending.wasSentAgain {
                let sample = back - sending.sentAt
                roundTrip =
                    roundTrip.map { Interval(nanoseconds: ($0.nanoseconds * 7 + sample.nanoseconds) / 8) } ?? sample
            }
            acknowledged = sending.total
            progressAt = back
            first += 1
        }
    }

    /// For how long what is outstanding has waited without any acknowledgement.
    func silence(_ now: Instant) -> Interval {
        first < sendings.count ? now - max(sendings[first].sentAt, progressAt) : .zero
    }

    /// - Parameter isChoked: the receiver has no room: its kernel answers probes, which are no retransmissions.
    func retransmissions(_ now: Instant, isChoked: Bool) -> UInt32 {
        retransmissions + (isChoked ? 0 : tries(in: silence(now)))
    }

    private var firstTimeout: Interval { (roundTrip ?? .milliseconds(500)) * 2 + TransportCounters.slack }

    /// How often a kernel has sent again in that time: each timeout is double the last one, up to a limit.
    private func tries(in silence: Interval) -> UInt32 {
        var timeout = firstTimeout
        var left = silence
        var count: UInt32 = 0
        while left > timeout, count < 1_000 {
            left = Interval(nanoseconds: left.nanoseconds - timeout.nanoseconds)
            timeout = max(timeout, min(timeout * 2, TransportCounters.longestTimeout))
            count += 1
        }
        return count
    }
}
