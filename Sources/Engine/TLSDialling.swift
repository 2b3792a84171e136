public import Kernel
public import SessionProtocol
public import Transport

/// What an opener does for the safety of its links.
public enum LinkProtection: Sendable {
    /// They are plain.
    case plain
    /// Those to other hosts are TLS.
    case tls(TLSDialling)

    /// Makes a transport connection into a link that is none of a session, whose handshake comes first. Those that stay on this
    /// host are plain. It takes no ticket, which would be of more use to a session.
    public func link(over socket: consuming TCPSocket, to gateway: SocketAddress) throws -> Link {
        switch self {
        case .plain: Link(plain: socket)
        case .tls(let dialling): try dialling.link(over: socket, to: gateway, resuming: nil)
        }
    }

    /// Whether a key that a link has proven is the gateway's.
    public mutating func trusts(_ fingerprint: Fingerprint) -> Bool {
        switch self {
        case .plain: return true
        case .tls(var dialling):
            defer { self = .tls(dialling) }
            return dialling.trusts(fingerprint)
        }
    }

    /// A handshake has failed.
    public func failed(_ failure: TLSFailure) { tls?.failed(failure) }

    var tls: TLSDialling? {
        switch self {
        case .plain: nil
        case .tls(let dialling): dialling
        }
    }
}

/// How an opener makes its links to other hosts safe, and which gateway it takes for the right one.
public struct TLSDialling: Sendable {
    let context: TLSContext
    /// Those of this gateway.
    let tickets: TicketStore
    let fastOpening: FastOpening
    /// A session keeps to the key that it has met first.
    private(set) var accepted: AcceptedKeys
    private let meets: @Sendable (Fingerprint) -> Bool
    let failed: @Sendable (TLSFailure) -> Void

    /// - Parameters:
    ///   - accepted: the gateway's key, if it is known.
    ///   - meets: if any key is accepted, asked about the one that the first link proves. Called on the session's loop.
    ///   - failed: told why a handshake has failed. Called on the session's loop.
    public init(
        _ context: TLSContext, _ tickets: TicketStore, _ fastOpening: FastOpening, accepting accepted: AcceptedKeys,
        meets: @escaping @Sendable (Fingerprint) -> Bool, failed: @escaping @Sendable (TLSFailure) -> Void
    ) {
        self.context = context
        self.tickets = tickets
        self.fastOpening = fastOpening
        self.accepted = accepted
        self.meets = meets
        self.failed = failed
    }

    func link(
        over socket: consuming TCPSocket, to gateway: SocketAddress, resuming ticket: consuming SessionTicket?
    ) throws -> Link {
        if gateway.isLoopback { return Link(plain: socket) }
        return Link(tls: try TLSConnection(client: context, socket, accepting: accepted, resuming: ticket))
    }

    /// Whether a key that a link has proven is the gateway's.
    mutating func trusts(_ fingerprint: Fingerprint) -> Bool {
        switch accepted {
        case .only(let fingerprints): return fingerprints.contains(fingerprint)
        case .any:
            guard meets(fingerprint) else { return false }
            accepted = .only([fingerprint])
            return true
        }
    }
}

extension LinkFailure {
    /// What has become of a link whose TLS has failed.
    public init(_ failure: TLSFailure) {
        switch failure {
        case .keyRefused, .noCertificate: self = .security(.untrustedKey)
        case .refusedByPeer: self = .security(.notAdmitted)
        case .plainPeer: self = .security(.plainPeer)
        case .closed: self = .closed
        case .socket(let code): self = .socket(code.rawValue)
        case .notTLS: self = .frame(.notUSL)
        case .version, .application, .other: self = .security(.handshake)
        }
    }
}
