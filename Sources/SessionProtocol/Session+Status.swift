// What people are told about a session.

extension Session {
    /// Bytes that the application at this end has been given; its end of stream is no byte.
    public var deliveredBytes: UInt64 { min(receiver.delivered, receiver.finPosition ?? .max) }

    /// End of the bytes that this end holds in order; its end of stream is no byte.
    public var receivedBytes: UInt64 { min(receiver.received, receiver.finPosition ?? .max) }

    public func linkState(_ number: LinkNumber) -> String {
        guard let index = index(of: number) else { return "closed" }
        switch links[index].state {
        case .connecting, .connectingEarly: return "connecting"
        case .opening, .claiming, .attaching: return "joining"
        case .joined, .current:
            if links[index].liveness.isSuspect { return "suspect" }
            return links[index].state == .current ? "current" : "joined"
        case .leaving: return "leaving"
        }
    }

    /// Why the session is not active; nil while it is.
    public var reason: String? {
        switch state {
        case .active: return nil
        case .opening: return lastFailure.map { $0.reason } ?? "connecting"
        case .suspended: return isSilent ? "silent" : lastFailure.map { $0.reason } ?? "link-lost"
        case .closing: return abortHere != nil || abortByPeer != nil ? "aborting" : "finishing"
        }
    }
}

extension LinkFailure {
    /// One of the words that `usl status` uses; all are listed in docs/status.md.
    public var reason: String {
        switch self {
        case .closed: "link-closed"
        case .socket: "link-error"
        case .handshakeTimeout: "handshake-timeout"
        case .frame(.notUSL): "not-usl"
        case .frame(.otherVersion): "other-version"
        case .frame: "protocol-error"
        case .silent: "silent"
        case .unproven: "unproven"
        case .staleEpoch: "stale-epoch"
        case .otherInstance: "other-gateway"
        case .security(.untrustedKey): "untrusted-key"
        case .security(.notAdmitted): "not-admitted"
        case .security(.plainPeer): "plain-peer"
        case .security(.handshake): "tls-error"
        }
    }
}
