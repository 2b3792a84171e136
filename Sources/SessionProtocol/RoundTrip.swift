/// Round trips of a link, as PONGs and the transport tell them.
struct RoundTrip: Sendable {
    /// How long a lowest round trip counts, at least; twice that at most.
    static let memory = Interval.seconds(30)

    /// RFC 6298's estimator without its variance: one eighth of each new sample. Nil before the first one.
    private(set) var smoothed: Interval?
    /// The lowest samples of this period and of the one before: a queue that this session's own bytes have filled
    /// says nothing about the path.
    private var lowest: (now: Interval, before: Interval)?
    private var periodStart = Instant(nanoseconds: 0)

    mutating func sample(_ sample: Interval, _ now: Instant) {
        smoothed =
            smoothed.map {
                Interval(nanoseconds: $0.nanoseconds - $0.nanoseconds / 8 + sample.nanoseconds / 8)
            } ?? sample
        guard let known = lowest else {
            lowest = (sample, sample)
            periodStart = now
            return
        }
        if now - periodStart >= RoundTrip.memory {
            lowest = (sample, known.now)
            periodStart = now
        } else {
            lowest = (min(known.now, sample), known.before)
        }
    }

    /// The lowest round trip of the recent past.
    var recentLowest: Interval? { lowest.map { min($0.now, $0.before) } }
}
