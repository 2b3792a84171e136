/// Which of the opener's ways to its acceptor a link takes. What it stands for, say a source address or an interface, is
/// the driver's business.
public struct PathID: Hashable, Sendable {
    public let value: UInt8
    public init(_ value: UInt8) { self.value = value }
}

/// How a session uses several links (rule 9). With one path there is nothing to choose.
public enum LinkMode: UInt8, Sendable, CaseIterable {
    /// One link carries everything; the others have joined and wait.
    case failover = 1
    /// Every link carries everything, and the first copy wins.
    case mirror = 2
    /// Each link carries what it has room for.
    case stripe = 3
}

/// A path as the opener's core keeps it.
struct Path: Sendable {
    enum NextDial: Sendable {
        case none
        /// The last dial has failed.
        case afterBackoff(Instant)
        /// One is under way and has had no answer by then.
        case besideUnanswered(Instant)
    }

    let id: PathID
    var backoff: Backoff
    var nextDial = NextDial.none
    /// When it was last dialled.
    var lastDial = Instant(nanoseconds: 0)
    /// The first round trip of the last connection on it.
    var roundTrip: Interval?

    var dialDue: Instant? {
        switch nextDial {
        case .none: nil
        case .afterBackoff(let due), .besideUnanswered(let due): due
        }
    }

    /// How long a dial may be without an answer before another is sent after it: the kernel repeats a lost SYN only after
    /// a second, and a path may come back in between.
    var dialPatience: Interval {
        max(Path.minimumDialPatience, (roundTrip ?? .zero) + (roundTrip ?? .zero) / 2)
    }
    static let minimumDialPatience = Interval.milliseconds(250)
    /// The same for a session that has had no link yet, and knows nothing of the path: where all dials lead to one address, a
    /// second one soon would only find the same.
    static let openingPatience = Interval.seconds(1)
    /// Dials under way on one path. The kernel repeats each SYN every second (`TCP_RTO_MAX_MS`), so that four of them, a
    /// quarter of a second apart, find a path within a quarter of a second of its return.
    static let maximumDials = 4
    /// The same where each dial leads to another address: one for each, as far as an opener has room.
    static let maximumDialsToMany = 12
}
