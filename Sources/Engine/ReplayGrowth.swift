import SessionProtocol

/// Tells when a larger replay buffer would let more through.
///
/// What lies in the buffer is unacknowledged: it is under way, or waits somewhere. More room than the way takes only lengthens
/// the queues before the slowest part, and what has left the processor's cache is slow to come back: on loopback a session with 16 MiB
/// carries a third less than one with 2 MiB, and costs half as much again (docs/performance.md).
struct ReplayGrowth {
    /// Given to every session that fills its buffer: where round trips are short, this is enough.
    static let comfortable = 512 << 10
    /// What may pass, besides round trips, until both processes have had their turn.
    private static let scheduling = Interval.microseconds(500)

    /// Where the buffer ended when it was last judged, and when that was.
    private var end: Position
    private var judged: Instant

    init(end: Position, _ now: Instant) {
        self.end = end
        judged = now
    }

    /// Whether more is worthwhile for a buffer that is full of bytes under way: when everything in it changes within two round trips,
    /// it is the buffer that bounds the session. By then the half of it covers the path.
    ///
    /// - Parameters:
    ///   - capacity: of the buffer, in bytes.
    ///   - end: position behind the last byte in it.
    ///   - roundTrip: the smoothed one of the links; nil if nobody knows.
    mutating func isWorthwhile(capacity: Int, end: Position, _ now: Instant, roundTrip: () -> Interval?) -> Bool {
        let passed = end - self.end
        if capacity >= Self.comfortable, passed < UInt64(capacity) { return false }
        let elapsed = now - judged
        (self.end, judged) = (end, now)
        if capacity < Self.comfortable { return true }
        guard let roundTrip = roundTrip() else { return true }
        let change = elapsed.nanoseconds / max(1, passed / UInt64(capacity))
        return change < 2 * roundTrip.nanoseconds + Self.scheduling.nanoseconds
    }
}
