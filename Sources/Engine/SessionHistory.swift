public import SessionProtocol

/// What has happened to a session lately: a few compact entries, the oldest of which make room.
public struct SessionHistory: Sendable {
    public enum Event: Equatable, Sendable {
        case opened
        /// A new process has taken the session over from one that died or was replaced.
        case restored
        /// A link on its way came to nothing.
        case dialFailed(LinkFailure)
        /// A link that had joined was lost.
        case linkLost(LinkFailure)
        /// No link is left, without a failure that says why.
        case suspended
        /// A link that is there does not answer.
        case silent
        /// A link has joined or speaks again, this long after the session was suspended.
        case resumed(after: Interval)
        /// Another link has taken over from one before, without a pause.
        case switched
        /// An address or a route of this machine has changed.
        case networkChanged
        /// An application has ended or reset its stream, and the session is on its way out.
        case closing
    }

    public struct Entry: Sendable {
        public let event: Event
        /// How often in a row.
        public fileprivate(set) var count: UInt32
        /// The last time, on the loop's clock.
        public fileprivate(set) var at: Instant
    }

    /// Entries kept.
    public static let capacity = 16

    /// The oldest first.
    public private(set) var entries: [Entry] = []
    private var seenFailure: LinkFailure?
    private var seenReconnects: UInt64 = 0

    /// Adds an event; one that repeats the last is counted there.
    mutating func note(_ event: Event, _ now: Instant) {
        if let last = entries.indices.last, entries[last].event == event {
            entries[last].count += 1
            entries[last].at = now
            return
        }
        if entries.count == Self.capacity { entries.removeFirst() }
        entries.append(Entry(event: event, count: 1, at: now))
    }

    /// A link was lost, as the driver saw it.
    mutating func noteLoss(_ failure: LinkFailure, hadJoined: Bool, _ session: borrowing Session, _ now: Instant) {
        note(hadJoined ? .linkLost(failure) : .dialFailed(failure), now)
        seenFailure = session.lastFailure
    }

    /// Adds what the session's state tells, which since `began` was `old`.
    mutating func observe(_ session: borrowing Session, since began: Instant, in old: SessionState, _ now: Instant) {
        let state = session.state
        if session.lastFailure != seenFailure {
            seenFailure = session.lastFailure
            if let failure = seenFailure { note(.linkLost(failure), now) }
        }
        if session.reconnects != seenReconnects {
            seenReconnects = session.reconnects
            if old == state, entries.last?.event.isResumption == false { note(.switched, now) }
        }
        guard state != old else { return }
        if old == .opening, !session.isOver { note(.opened, now) }
        switch state {
        case .opening: break
        case .active: if old == .suspended { note(.resumed(after: now - began), now) }
        case .suspended: noteSuspension(session, now)
        case .closing:
            if old == .suspended, session.hasLink { note(.resumed(after: now - began), now) }
            note(.closing, now)
        }
    }

    /// Whether the link with this number, which the session still knows, has carried more than its handshake.
    static func hadJoined(_ number: LinkNumber, of session: borrowing Session) -> Bool {
        !["connecting", "joining", "closed"].contains(session.linkState(number))
    }

    private mutating func noteSuspension(_ session: borrowing Session, _ now: Instant) {
        switch entries.last?.event {
        // These say so already.
        case .linkLost where entries.last?.at == now, .silent where session.reason == "silent": break
        default: note(.suspended, now)
        }
    }
}

extension SessionHistory.Event {
    /// A link counts as having taken over a moment later than it ends a pause, which is told already.
    fileprivate var isResumption: Bool { if case .resumed = self { true } else { false } }
}
