/// Why a session wants to be woken.
enum Timer: Int, CaseIterable {
    /// Delivered bytes have waited ``Receiver/ackDelay`` for their acknowledgement.
    case acknowledge
    /// A path is to be dialled.
    case dial
    /// A link is to be examined.
    case liveness
    /// The connecting or joining link has had its time.
    case handshake
    /// A link may have been silent for ``Session/idlePing``.
    case idle
    /// The opener has said nothing since OPENED.
    case confirmation
    /// Without a link for as long as the limit allows.
    case suspension
    /// The bytes before the peer's ABORT have had their time to reach the application.
    case abort
    /// The peer has had its time to say GONE to an end that has nothing left to lose.
    case farewell
}

/// One instant for each reason; the next wake-up is the least of them.
struct TimerTable: Sendable {
    private static let never = Instant(nanoseconds: .max)
    private var instants = InlineArray<9, Instant>(repeating: TimerTable.never)

    subscript(timer: Timer) -> Instant? {
        get {
            let instant = instants[timer.rawValue]
            return instant == TimerTable.never ? nil : instant
        }
        set { instants[timer.rawValue] = newValue ?? TimerTable.never }
    }

    var next: Instant? {
        var least = TimerTable.never
        for index in instants.indices where instants[index] < least { least = instants[index] }
        return least == TimerTable.never ? nil : least
    }

    /// True once when the timer is due; it is cleared by that.
    mutating func fires(_ timer: Timer, _ now: Instant) -> Bool {
        guard instants[timer.rawValue] <= now else { return false }
        instants[timer.rawValue] = TimerTable.never
        return true
    }

    mutating func clearAll() {
        for index in instants.indices { instants[index] = TimerTable.never }
    }
}
