import Engine
import Kernel
import Rendezvous
import SessionHost
import SystemPackage
import Transport

/// The fronts of a gateway: relays ordinary clients to what is behind, and answers in-band probes. On the main loop.
final class FrontDesk {
    private unowned let door: FrontDoor
    private let loop: EventLoop
    /// Where the gateway itself takes links.
    private let gateways: [SocketAddress]
    /// Kept by the loop too.
    private var acceptors: [Acceptor] = []

    /// - Parameters:
    ///   - listeners: those of all fronts.
    ///   - gateways: where the gateway itself takes links.
    init(_ listeners: [Listener], gateways: [SocketAddress], at door: FrontDoor) throws(Errno) {
        self.door = door
        self.gateways = gateways
        loop = door.loop
        for front in door.options.fronts {
            let own = listeners.filter { listener in
                (try? listener.socket.localAddress()).map { front.listen.contains($0) } ?? false
            }
            acceptors.append(
                try Acceptor(
                    own, on: loop, failed: { [logger = door.logger] in logger.warning("\($0.acceptFailure)") },
                    accepted: { [unowned self] socket in accepted(socket, at: front) }))
        }
    }

    private func accepted(_ socket: consuming TCPSocket, at front: Front) {
        guard let remote = try? socket.remoteAddress(), let local = try? socket.localAddress() else { return }
        // Both ends take a descriptor, as those of a session do. Without room for them it ends as at a host without room: in a
        // reset, so that nobody takes it for an answer.
        guard door.admission.enterRelay() else {
            _ = try? socket.abort()
            return door.turnAway(remote, .relays, "reset: no descriptors for more connections through --front")
        }
        guard ProbeMark.isOn(socket) else { return relay(socket, from: remote, to: local, front) }
        ProbedConnection.examine(socket, on: loop) { [self] kind in
            switch consume kind {
            case .probe(let socket): answer(socket, at: local)
            case .ordinary(let socket): relay(socket, from: remote, to: local, front)
            case .gone: door.admission.leaveRelay()
            }
        }
    }

    // MARK: - Ordinary clients

    private func relay(
        _ socket: consuming TCPSocket, from remote: SocketAddress, to local: SocketAddress, _ front: Front
    ) {
        do throws(Errno) { try LinkProfile.relayed(to: remote).apply(to: socket) } catch {
            _ = try? socket.abort()
            return ended(front, remote, error)
        }
        let header = door.options.sendsProxyHeader ? ProxyHeader.encode(source: remote, destination: local) : []
        let (client, main, desk) = (Handoff(socket), loop.mailbox, LoopBound(self, on: loop))
        door.pool.place().mailbox.post { loop in
            guard let client = client.take() else { return }
            PlainRelay.start(client, to: front.targets, saying: header, on: loop) { error in
                main.post { desk.on($0).ended(front, remote, error) }
            }
        }
    }

    private func ended(_ front: Front, _ remote: SocketAddress, _ error: Errno?) {
        door.admission.leaveRelay()
        if let error { door.strangers.note("--front \(front.text): \(error); reset", of: remote, loop.now) }
    }

    // MARK: - Probes

    private func answer(_ socket: consuming TCPSocket, at local: SocketAddress) {
        let answer = EnhancementAnswer(gateways: gateways(for: local))
        let words = LastWords.say(answer.encoded, over: Link(plain: socket), on: loop) { [door] in
            door.admission.leaveRelay()
        }
        if words == nil { door.admission.leaveRelay() }
    }

    /// Where a client can reach the gateway that has reached this host at `local`.
    private func gateways(for local: SocketAddress) -> [EnhancementAnswer.Gateway] {
        let local = local.unmapped
        var reachable: [EnhancementAnswer.Gateway] = []
        for place in gateways {
            let isHere = place.isWildcard ? place.family == local.family : place.unmapped.host == local.host
            // Others cannot come to loopback.
            guard isHere || !(place.isWildcard || place.isLoopback) else { continue }
            reachable.append(
                .init(port: place.port, isTLS: !door.options.isPlain, address: isHere ? nil : "\(place.unmapped.host)"))
        }
        // The nearest first, and no more than an answer holds.
        let sorted = reachable.filter { $0.address == nil } + reachable.filter { $0.address != nil }
        return Array(sorted.prefix(FrontDesk.maximumGateways))
    }

    /// An item has 82 bytes at most.
    private static let maximumGateways = 8
}
