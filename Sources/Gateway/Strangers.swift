import Kernel
import Logging
import Policy
import SessionHost
import SessionProtocol

/// Everything that those hold of a gateway who have proven nothing yet, within its limits, and what came of the others.
struct Strangers {
    var limits: StrangerLimits
    private var log: StrangerLog
    /// Connections that have not opened or joined a session, or that hear why they do not. The connection of a session's first
    /// OPEN is none of them, since the session is bounded itself.
    private var greetings = Crowd<Greeting>()
    private var opening = Crowd<PendingSession>()
    private var turnedAway: [TurnedAway: Int] = [:]

    init(_ limits: StrangerLimits, log: StrangerLog) {
        self.limits = limits
        self.log = log
    }

    mutating func turnAway(_ remote: SocketAddress, _ why: TurnedAway, _ text: String, _ now: Instant) {
        turnedAway[why, default: 0] += 1
        log.note(text, from: remote, now)
    }

    /// What says nothing of the stranger.
    mutating func note(_ text: String, of remote: SocketAddress, _ now: Instant) { log.note(text, from: remote, now) }

    // MARK: - Connections

    /// Takes a connection in.
    ///
    /// - Returns: another one, which must be closed for it. The newcomer is never refused instead: a flood would then keep
    ///   everybody out, those included who come back to their sessions. They say so in their first packet, while those who
    ///   only take room grow old.
    mutating func greet(_ greeting: Greeting, _ now: Instant) -> Greeting? {
        let remote = greeting.remote
        let surplus: Greeting?
        if greetings.count(of: remote) >= limits.handshakesPerAddress {
            surplus = greetings.oldest(from: remote)
            turnAway(
                remote, .handshakesPerAddress,
                "the oldest of its \(limits.handshakesPerAddress) connections that have "
                    + "not opened or joined a session is closed", now)
        } else if greetings.count >= limits.handshakes {
            surplus = greetings.oldestOfLargest
            if let surplus {
                turnAway(
                    surplus.remote, .handshakes,
                    "closed to make room: \(limits.handshakes) connections have not "
                        + "opened or joined a session, and none has more of them", now)
            }
        } else {
            surplus = nil
        }
        if let surplus { greetings.remove(surplus) }
        greetings.add(greeting, from: remote)
        return surplus
    }

    /// Likewise, if it is not here.
    mutating func keep(_ greeting: Greeting, _ now: Instant) -> Greeting? {
        greetings.contains(greeting) ? nil : greet(greeting, now)
    }

    mutating func forget(_ greeting: Greeting) { greetings.remove(greeting) }

    // MARK: - Sessions

    /// Takes a session in whose target is to be connected to, and its connection out.
    ///
    /// - Returns: what is full, if it cannot; a session that is being opened is never given up for another.
    mutating func open(_ pending: PendingSession, _ now: Instant) -> String? {
        let (remote, text): (SocketAddress, String)
        remote = pending.remote
        if opening.count(of: remote) >= limits.openingPerAddress {
            text = "\(limits.openingPerAddress) sessions of this address are being opened"
            turnAway(remote, .openingPerAddress, "refused: \(text) ([limits] opening-per-address)", now)
        } else if opening.count >= limits.opening {
            text = "\(limits.opening) sessions are being opened"
            turnAway(remote, .opening, "refused: \(text) ([limits] opening)", now)
        } else {
            opening.add(pending, from: remote)
            if let first = pending.first { greetings.remove(first) }
            return nil
        }
        return text
    }

    /// The session is open, or will not be.
    mutating func settle(_ pending: PendingSession) { opening.remove(pending) }

    // MARK: -

    var report: StrangerReport {
        StrangerReport(
            handshakes: .init(
                now: greetings.count, limit: limits.handshakes, limitPerAddress: limits.handshakesPerAddress),
            opening: .init(now: opening.count, limit: limits.opening, limitPerAddress: limits.openingPerAddress),
            handshakeMilliseconds: Interval(limits.handshakeTime).millisecondsRoundedUp,
            handshakeBytes: limits.handshakeBytes, turnedAway: turnedAway)
    }
}
