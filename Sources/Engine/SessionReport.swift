import CLinux
public import Kernel
public import SessionProtocol
public import Transport

/// What `usl status` shows of one session, at one moment.
public struct SessionReport: Sendable {
    public struct LinkReport: Sendable {
        public let local: SocketAddress?
        public let remote: SocketAddress
        /// Opener: where the link begins, as the user has named it; nil if he has not.
        public let source: String?
        public let transport: LinkTransport
        public let security: LinkSecurity
        /// Whether a ticket has spared its handshake the certificates; nil where that is not over, and on plain links.
        public let isResumed: Bool?
        /// `connecting`, `joining`, `joined`, `current` or `leaving`.
        public let state: String
        public let roundTrip: Interval?
    }

    /// Something that has happened, how often in a row, and when last: in milliseconds since 1970.
    public struct RecentEvent: Sendable {
        public let event: SessionHistory.Event
        public let count: UInt32
        public let at: UInt64
    }

    public let id: SessionID
    public let role: Role
    public let destination: SocketAddress
    public let peer: SocketAddress?
    /// What the peer has proven to hold, with its last link that was TLS.
    public let peerKey: Fingerprint?
    public let state: SessionState
    public let reason: String?
    /// Seconds since 1970.
    public let since: Int
    /// While the session is suspended: when it will be given up, in seconds since 1970.
    public let expires: Int?
    /// How long it may be without a link.
    public let suspendLimit: Interval
    public let sent: UInt64
    public let received: UInt64
    public let undelivered: UInt64
    public let replayBytes: Int
    public let replayLimit: Int
    public let links: [LinkReport]
    public let reconnects: UInt64
}

extension SessionDriver {
    /// Since when it has been suspended, if it is; on the loop's clock.
    public var suspendedSince: Instant? { session.state == .suspended ? stateBegan : nil }

    /// The limit counts from when the last link is lost. One that is silent is lost a little later.
    private var expires: Int? {
        guard let since = suspendedSince else { return nil }
        let passed = (loop.now - (session.suspendedSince ?? since)).seconds
        let limit = session.configuration.suspendLimit.seconds
        return time(nil) + Int(limit > passed ? limit - passed : 0)
    }

    /// What has happened lately, oldest first.
    public var recentEvents: [SessionReport.RecentEvent] {
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        let now = UInt64(wall.tv_sec) * 1000 + UInt64(wall.tv_nsec) / 1_000_000
        return history.entries.map {
            .init(event: $0.event, count: $0.count, at: now - (loop.now - $0.at).nanoseconds / 1_000_000)
        }
    }

    public var report: SessionReport {
        let reports = links.map { link in
            SessionReport.LinkReport(
                local: link.local, remote: link.remote, source: source(of: link), transport: link.transport,
                security: link.link.security, isResumed: link.link.isResumed, state: session.linkState(link.number),
                roundTrip: session.roundTrip(of: link.number))
        }
        return SessionReport(
            id: session.id, role: session.role, destination: destination,
            peer: links.first { session.isCurrent($0.number) }?.remote ?? links.first?.remote ?? lastPeer,
            peerKey: peerKey, state: session.state, reason: session.reason, since: stateSince, expires: expires,
            suspendLimit: session.configuration.suspendLimit, sent: session.taken,
            received: session.deliveredBytes, undelivered: session.undelivered, replayBytes: outbound.count,
            replayLimit: outbound.maximum, links: reports, reconnects: session.reconnects)
    }

    private func source(of link: LinkConnection) -> String? {
        guard let paths, let path = link.path, paths.source(of: path) != .anywhere else { return nil }
        return paths.source(of: path).description
    }
}
