public import Kernel
public import SessionProtocol

/// What `usl status` shows of one session, at one moment.
public struct SessionReport: Sendable {
    public struct LinkReport: Sendable {
        public let local: SocketAddress?
        public let remote: SocketAddress
        /// `connecting`, `joining`, `joined`, `current` or `leaving`.
        public let state: String
        public let roundTrip: Interval?
    }

    public let id: SessionID
    public let role: Role
    public let destination: SocketAddress
    public let peer: SocketAddress?
    public let state: SessionState
    public let reason: String?
    /// Seconds since 1970.
    public let since: Int
    public let sent: UInt64
    public let received: UInt64
    public let undelivered: UInt64
    public let replayBytes: Int
    public let replayLimit: Int
    public let links: [LinkReport]
    public let reconnects: UInt64
}

extension SessionDriver {
    public var report: SessionReport {
        let reports = links.map { link in
            SessionReport.LinkReport(
                local: link.local, remote: link.remote, state: session.linkState(link.number),
                roundTrip: session.roundTrip(of: link.number))
        }
        return SessionReport(
            id: session.id, role: session.role, destination: destination,
            peer: links.first { session.isCurrent($0.number) }?.remote ?? links.first?.remote ?? lastPeer,
            state: session.state, reason: session.reason, since: stateSince, sent: session.taken,
            received: session.deliveredBytes, undelivered: session.undelivered, replayBytes: outbound.count,
            replayLimit: outbound.maximum, links: reports, reconnects: session.reconnects)
    }
}
