import Kernel
import SessionProtocol
import SystemPackage
import Transport

// From a connection to a link that is safe: TLS, for those that leave the host. The rest of the driver need not know.

extension SessionDriver {
    /// Makes a transport connection into a link. Those that stay on this host are plain.
    func link(over socket: consuming TCPSocket, to gateway: SocketAddress) throws -> Link {
        guard let tls, !gateway.isLoopback else { return Link(plain: socket) }
        return Link(
            tls: try TLSConnection(
                client: tls.context, socket, accepting: tls.accepted, resuming: tls.tickets.take()))
    }

    /// A dial may have ended.
    func finishConnect(_ connection: LinkConnection) {
        do {
            let isConnected = try connection.link.withSocket { (socket) throws(Errno) in try socket.finishConnect() }
            guard isConnected else { return }
        } catch {
            return lose(connection.number, .socket(error.rawValue))
        }
        guard session.isOpen, connection.link.earlyDataLimit > 0 else {
            connection.stage = .securing
            return secure(connection)
        }
        // A ticket: ATTACH goes with the first flight, which saves a round trip. Somebody who records it can make it join a
        // link once more, and nothing else (docs/protocol.md, 9).
        connection.stage = .securingEarly
        connected(connection)
    }

    /// Goes on with the handshake of a link.
    func secure(_ connection: LinkConnection) {
        switch connection.link.handshake() {
        case .needsRead, .needsWrite: return
        case .failed(let failure):
            tls?.failed(failure)
            return lose(connection.number, LinkFailure(failure))
        case .done: break
        }
        let isDialled = connection.path != nil
        if isDialled, let fingerprint = connection.link.peerFingerprint {
            guard tls?.trusts(fingerprint) == true else { return lose(connection.number, .security(.untrustedKey)) }
            connection.awaitsTicket = true
        }
        if connection.link.security == .tls {
            // The handshake has used up what the events have said.
            connection.isReadable = true
            connection.isWritable = true
        }
        switch connection.stage {
        case .securingEarly:
            if !connection.early.isEmpty, !connection.link.earlyDataIsAccepted {
                connection.queue.append(.handshake(connection.early))
            }
            connection.early = []
            connection.stage = .open
        case .connecting, .securing, .open, .ending, .ended:
            connection.stage = .open
            connected(connection)
        }
    }

    /// Tells the session of a link, whose first frame it then has.
    private func connected(_ connection: LinkConnection) {
        lastPeer = connection.remote
        if let path = connection.path { paths?.connected(to: connection.remote, on: path) }
        session.linkConnected(connection.number, roundTrip: vitals(of: connection)?.roundTrip, loop.now)
    }

    /// Opener: sends the session's first frame with the first flight.
    ///
    /// - Returns: whether the link is on its way to that, and nothing else can be sent.
    func sendsEarly(_ connection: LinkConnection) -> Bool {
        guard connection.stage == .securingEarly, connection.path != nil else { return false }
        guard connection.early.isEmpty else { return true }
        while case .handshake(let bytes) = session.nextFrame(on: connection.number, loop.now, maximumData: 0) {
            connection.early += bytes
        }
        guard !connection.early.isEmpty else { return true }
        if connection.early.count <= connection.link.earlyDataLimit { connection.link.sendEarly(connection.early) }
        secure(connection)
        return connection.stage == .securingEarly
    }

    /// Why a read or a write has failed. A peer that does not admit this end's key says so when this end's handshake is over.
    func failure(of connection: LinkConnection, _ code: Errno) -> LinkFailure {
        guard let failure = connection.link.tlsFailure else { return .socket(code.rawValue) }
        tls?.failed(failure)
        return LinkFailure(failure)
    }
}
