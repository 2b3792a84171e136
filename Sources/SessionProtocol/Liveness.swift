/// What the transport's counters say about a link (`TCP_INFO`).
public struct LinkVitals: Equatable, Sendable {
    /// Bytes that the peer's kernel has acknowledged, counted since the connection began (`tcpi_bytes_acked`).
    public var acknowledged: UInt64
    /// Bytes wait for that acknowledgement, or to be sent.
    public var hasUnacknowledged: Bool
    /// Segments sent again, counted since the connection began (`tcpi_total_retrans`).
    public var retransmissions: UInt32
    /// The transport's own smoothed round trip, when it has one.
    public var roundTrip: Interval?

    public init(acknowledged: UInt64, hasUnacknowledged: Bool, retransmissions: UInt32, roundTrip: Interval?) {
        self.acknowledged = acknowledged
        self.hasUnacknowledged = hasUnacknowledged
        self.retransmissions = retransmissions
        self.roundTrip = roundTrip
    }
}

/// Whether a link still carries what is sent on it (rule 10), judged by what comes back on the link itself.
///
/// While bytes come and go, nothing is asked. When a link has gone quiet behind them, a PING asks whether the last of
/// them arrived; so a receiver that does not read is asked once, and answers. Before anything is held against the link,
/// the driver is asked to examine it: it reads what has arrived, so that a process that had no time to read does not
/// blame the link, and reports the transport's counters, so that a queue that moves slowly counts as an answer.
struct Liveness: Sendable {
    /// No answer for so long, or for four round trips, makes a link suspect. Half of it passes before the PING.
    static let minimumPatience = Interval.seconds(1)
    /// Retransmissions without an acknowledgement for so long, or for three round trips, do so as well.
    static let minimumUnrest = Interval.milliseconds(15)

    enum State: Equatable, Sendable {
        /// The last PONG has answered for everything.
        case quiet
        /// Bytes have gone or come since.
        case busy
        /// A PING is wanted since then, and has left at the time that is its echo; bytes may have gone or come behind it.
        case probing(since: Instant, echo: Instant?, isOvertaken: Bool)
        case suspect
    }

    private(set) var state = State.quiet
    private(set) var lastHeard: Instant
    /// When the present exchange began; nothing can have been answered earlier.
    private var busySince: Instant
    private var vitals: LinkVitals?
    /// Nothing has been acknowledged since, and segments were sent again.
    private var unrestSince: Instant?
    /// There may be something in the transport's counters that a driver has not reported yet.
    private var isWorthExamining = false
    private var lastExamined: Instant
    private var isBeingExamined = false
    private(set) var roundTrip = RoundTrip()

    init(_ now: Instant) {
        lastHeard = now
        busySince = now
        lastExamined = now
    }

    var isSuspect: Bool { state == .suspect }

    // MARK: What happens on the link

    /// DATA or FIN went out, or came.
    mutating func exchanged(_ now: Instant) {
        isWorthExamining = true
        switch state {
        case .quiet:
            state = .busy
            busySince = now
        case .probing(let since, let echo?, _): state = .probing(since: since, echo: echo, isOvertaken: true)
        case .busy, .probing(_, nil, _), .suspect: break
        }
    }

    /// Bytes have come, of whatever kind.
    ///
    /// - Returns: true if the link was suspect.
    mutating func heard(_ now: Instant) -> Bool {
        lastHeard = now
        unrestSince = nil
        guard isSuspect else { return false }
        state = .busy
        busySince = now
        return true
    }

    mutating func pinged(_ now: Instant) {
        isWorthExamining = true
        switch state {
        case .quiet, .busy: state = .probing(since: now, echo: now, isOvertaken: false)
        case .probing(let since, nil, _): state = .probing(since: since, echo: now, isOvertaken: false)
        // The answer that has been missing for longest counts.
        case .probing, .suspect: break
        }
    }

    mutating func ponged(_ echo: Instant, _ now: Instant) {
        guard echo <= now else { return }
        roundTrip.sample(now - echo, now)
        // A peer that has several to answer answers the last.
        if case .probing(_, let asked?, let isOvertaken) = state, echo >= asked {
            state = isOvertaken ? .busy : .quiet
            busySince = now
        }
    }

    mutating func sampleRoundTrip(_ sample: Interval, _ now: Instant) { roundTrip.sample(sample, now) }

    mutating func suspect() { state = .suspect }

    // MARK: Time

    private var patience: Interval {
        max(Liveness.minimumPatience, max(roundTrip.smoothed ?? .zero, vitals?.roundTrip ?? .zero) * 4)
    }

    private var unrestLimit: Interval {
        max(Liveness.minimumUnrest, max(roundTrip.smoothed ?? .zero, vitals?.roundTrip ?? .zero) * 3)
    }

    private var silentSince: Instant { max(lastHeard, busySince) }

    /// When the link is to be examined, if nothing is heard until then.
    var examinationDue: Instant? {
        guard !isBeingExamined else { return nil }
        let verdict: Instant
        switch state {
        case .quiet, .suspect: return nil
        case .busy: verdict = silentSince + patience / 2
        case .probing(let since, _, _): verdict = max(lastHeard, since) + patience / 2
        }
        guard isWorthExamining else { return verdict }
        return min(verdict, max(silentSince, lastExamined) + unrestLimit)
    }

    mutating func beginExamination() { isBeingExamined = true }

    enum Verdict { case fine, wantsPing, turnedSuspect }

    /// Judges the link by its counters, behind everything that had arrived.
    mutating func examined(_ new: LinkVitals, _ now: Instant) -> Verdict {
        isBeingExamined = false
        let isNewsOfSilence = lastExamined >= silentSince
        lastExamined = now
        isWorthExamining = new.hasUnacknowledged
        let old = vitals
        vitals = new
        if let old, new.acknowledged > old.acknowledged {
            // What was acknowledged before the silence began says nothing of it.
            if isNewsOfSilence { lastHeard = now }
            unrestSince = nil
        } else if let old, new.hasUnacknowledged, new.retransmissions > old.retransmissions, unrestSince == nil {
            unrestSince = now
        }
        if !new.hasUnacknowledged { unrestSince = nil }
        switch state {
        case .quiet, .suspect: return .fine
        case .busy, .probing:
            if let unrestSince, now - unrestSince >= unrestLimit {
                state = .suspect
                return .turnedSuspect
            }
        }
        switch state {
        case .busy:
            guard now >= silentSince + patience / 2 else { return .fine }
            state = .probing(since: now, echo: nil, isOvertaken: false)
            return .wantsPing
        case .probing(let since, _, _):
            guard now >= max(lastHeard, since) + patience / 2 else { return .fine }
            state = .suspect
            return .turnedSuspect
        case .quiet, .suspect: return .fine
        }
    }
}
