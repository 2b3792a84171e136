/// One direction of a session, as its sender counts it: acknowledged ≤ next ≤ end (+ 1 for FIN).
///
/// The bytes [acknowledged, end) are in the driver's ring. FIN occupies position `end`.
struct Sender: Sendable {
    /// Everything below is delivered: the peer's leg has taken it. The base of the replay buffer.
    private(set) var acknowledged: Position = 0
    /// End of the bytes that the application gave.
    private(set) var end: Position = 0
    /// The application has finished: FIN occupies the position `end`.
    private(set) var isFinished = false
    /// The next position that no link has carried yet.
    private(set) var next: Position = 0
    /// The peer takes nothing at or beyond this position yet. FIN needs no window.
    private(set) var limit: Position = Wire.initialWindow
    /// What the peer held when it last attached: not worth sending again, but not acknowledged either.
    private(set) var peerReceived: Position = 0
    /// Unacknowledged ranges whose link was lost; sent before new data.
    private(set) var resend = PositionRanges()

    init() {}

    /// What a process that has died leaves behind: the bytes of its ring. How much of them was sent, and how far the peer
    /// has come, is known when the peer has attached; until then nothing may be sent.
    init(ringBase: Position, taken: Position, isFinished: Bool) {
        acknowledged = ringBase
        end = taken
        self.isFinished = isFinished
        next = endWithFin
        limit = ringBase
        peerReceived = ringBase
        resend.insert(ringBase..<next)
    }

    /// The end of this direction, FIN included.
    var endWithFin: Position { isFinished ? end + 1 : end }
    /// The peer has everything and knows that it is everything.
    var isDone: Bool { isFinished && acknowledged == end + 1 }

    mutating func append(_ count: Int) {
        precondition(!isFinished && count >= 0, "bytes after the end of a direction")
        end += UInt64(count)
    }

    mutating func finish() { isFinished = true }

    // MARK: The peer's word

    enum AckResult { case unchanged, advanced, violation }

    /// Takes the peer's acknowledgement and window from any frame, in whatever order frames arrive.
    mutating func acknowledge(_ position: Position, limit newLimit: Position) -> AckResult {
        guard position <= next else { return .violation }
        limit = max(limit, newLimit)
        guard position > acknowledged else { return .unchanged }
        acknowledged = position
        peerReceived = max(peerReceived, position)
        resend.removeBelow(position)
        return .advanced
    }

    /// Takes the peer's state as a link joins; `live` is what links that still live carry.
    ///
    /// A received position below the acknowledged one is old news and is clamped (the claim was made before an
    /// acknowledgement that overtook it). Only a peer that has lost its process takes back what it has received, and
    /// what it has promised.
    mutating func peerAttached(received: Position, limit newLimit: Position, live: PositionRanges, isRestarted: Bool) {
        let known = isRestarted ? acknowledged : peerReceived
        peerReceived = min(max(received, known), next)
        limit = isRestarted ? newLimit : max(limit, newLimit)
        resend = PositionRanges()
        resend.insert(peerReceived..<next)
        resend.remove(live)
    }

    /// Ranges whose link is gone go back into the resend queue.
    mutating func requeue(_ carried: PositionRanges) {
        var lost = carried
        lost.removeBelow(peerReceived)
        resend.insert(lost)
    }

    /// Everything that the peer is not known to hold is sent again.
    mutating func requeueAll() { resend.insert(peerReceived..<next) }

    /// Links that each carry everything leave nothing to be sent again.
    mutating func forgetResend() { resend = PositionRanges() }

    // MARK: Sending

    enum Segment: Equatable {
        case bytes(Range<Position>)
        case fin(Position)
    }

    /// What goes out next: resends first, then new bytes as far as the peer's window allows, then FIN.
    mutating func nextSegment(maximum: Int) -> Segment? {
        if let range = resend.first {
            if range.lowerBound == end {
                resend.remove(end..<end + 1)
                return .fin(end)
            }
            // A peer that has attached may have taken back what it had promised.
            guard range.lowerBound < limit else { return nil }
            let bytes = range.lowerBound..<min(range.upperBound, end, range.lowerBound + UInt64(maximum), limit)
            resend.remove(bytes)
            return .bytes(bytes)
        }
        if next < end {
            guard next < limit else { return nil }
            let bytes = next..<min(end, limit, next + UInt64(maximum))
            next = bytes.upperBound
            return .bytes(bytes)
        }
        if isFinished, next == end {
            next = end + 1
            return .fin(end)
        }
        return nil
    }

    /// What goes out next on a link that carries everything and has come to `cursor`, which advances; what is
    /// acknowledged already is skipped.
    mutating func nextSegment(from cursor: inout Position, maximum: Int) -> Segment? {
        cursor = max(cursor, acknowledged)
        if cursor < end {
            guard cursor < limit else { return nil }
            let bytes = cursor..<min(end, limit, cursor + UInt64(maximum))
            cursor = bytes.upperBound
            next = max(next, cursor)
            return .bytes(bytes)
        }
        guard isFinished, cursor == end else { return nil }
        cursor = end + 1
        next = cursor
        return .fin(end)
    }
}
