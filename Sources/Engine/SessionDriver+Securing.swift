import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Transport

// From a connection to a link that is safe: TLS, for those that leave the host. The rest of the driver need not know.

extension SessionDriver {
    /// Makes a transport connection into a link. Those that stay on this host are plain.
    func link(over socket: consuming TCPSocket, to gateway: SocketAddress) throws -> Link {
        guard let tls else { return Link(plain: socket) }
        return try tls.link(over: socket, to: gateway, resuming: gateway.isLoopback ? nil : tls.tickets.take())
    }

    /// A dial may have ended.
    func finishConnect(_ connection: LinkConnection) {
        do {
            let isConnected = try connection.link.withSocket { (socket) throws(Errno) in try socket.finishConnect() }
            guard isConnected else { return sendWithSYN(connection) }
        } catch {
            return lose(connection.number, .socket(error.rawValue))
        }
        switch connection.stage {
        case .connecting where speaksEarly(connection):
            connection.stage = .securingEarly
            connected(connection)
        case .connecting:
            connection.stage = .securing
            secure(connection)
        case .connectingEarly:
            synAnswered(connection)
            secure(connection)
        case .securing, .securingEarly, .open, .ending, .ended: break
        }
    }

    /// Whether a link may use TCP Fast Open.
    func mayOpenFast(_ gateway: SocketAddress, on path: PathID) -> Bool {
        guard let tls, !gateway.isLoopback else { return false }
        // The session dials beside one that has had no answer for too long: perhaps because something on the path drops SYNs
        // with data, of which nobody tells (RFC 7413, 7.1).
        if links.contains(where: { $0.stage == .connectingEarly && $0.path == path && $0.remote == gateway }) {
            tls.fastOpening.failed(gateway, loop.now)
        }
        return tls.fastOpening.isWorthATry(gateway, loop.now)
    }

    /// A SYN that took data with it may have been refused for that.
    func judgeFastOpening(_ number: LinkNumber, _ failure: LinkFailure) {
        // ECONNABORTED: this host has ended the connection (in the kernel, tcp_abort).
        guard failure != .socket(ECONNABORTED),
            let link = links.first(where: { $0.number == number && $0.stage == .connectingEarly })
        else { return }
        tls?.fastOpening.failed(link.remote, loop.now)
    }

    /// If the SYN waits for the first flight: sends it.
    private func sendWithSYN(_ connection: LinkConnection) {
        // A socket that is not connected is writable only then (in the kernel, tcp_poll and its defer_connect).
        guard connection.stage == .connecting, connection.isWritable else { return }
        connection.stage = .connectingEarly
        if speaksEarly(connection) { session.linkTakesFirstWords(connection.number) } else { secure(connection) }
    }

    /// Whether ATTACH goes with the first flight, for which it takes a ticket. That saves a round trip. Somebody who records it
    /// can make it join a link once more, and nothing else (docs/protocol.md, 9).
    private func speaksEarly(_ connection: LinkConnection) -> Bool {
        session.isOpen && connection.link.earlyDataLimit > 0
    }

    /// A SYN that took the first flight with it has been answered. If what went with it was not taken, the kernel sends it again.
    private func synAnswered(_ connection: LinkConnection) {
        guard !connection.early.isEmpty else {
            connection.stage = .securing
            return
        }
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
        // The peer's flight may have come in the moment since this end's has left.
        if connection.stage == .connectingEarly { synAnswered(connection) }
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
        notePeerKey(of: connection)
        switch connection.stage {
        case .securingEarly:
            if !connection.early.isEmpty, !connection.link.earlyDataIsAccepted {
                connection.queue.append(.handshake(connection.early))
            }
            connection.early = []
            connection.stage = .open
        case .connecting, .connectingEarly, .securing, .open, .ending, .ended:
            connection.stage = .open
            connected(connection)
        }
    }

    /// Behind the handshake, which proves it.
    func notePeerKey(of connection: LinkConnection) {
        if let fingerprint = connection.link.peerFingerprint { peerKey = fingerprint }
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
        guard connection.stage.isEarly, connection.path != nil else { return false }
        guard connection.early.isEmpty else { return true }
        while case .handshake(let bytes) = session.nextFrame(on: connection.number, loop.now, maximumData: 0) {
            connection.early += bytes
        }
        guard !connection.early.isEmpty else { return true }
        if connection.early.count <= connection.link.earlyDataLimit { connection.link.sendEarly(connection.early) }
        secure(connection)
        return connection.stage.isEarly
    }

    /// Why a read or a write has failed. A peer that does not admit this end's key says so when this end's handshake is over.
    func failure(of connection: LinkConnection, _ code: Errno) -> LinkFailure {
        guard let failure = connection.link.tlsFailure else { return .socket(code.rawValue) }
        tls?.failed(failure)
        return LinkFailure(failure)
    }
}
