public import Kernel
import SessionProtocol
import SystemPackage
import Transport

extension SessionDriver {
    /// Makes a transport connection on a path, to the gateway's next address, now or as soon as there is a place for it.
    func dial(_ number: LinkNumber, on path: PathID) {
        guard let gateway = paths?.nextGateway(on: path) else {
            return lose(number, .socket(Errno.addressFamilyNotSupported.rawValue))
        }
        if let place = loop.dials.place(to: gateway, for: self, number, on: path) {
            begin(number, on: path, to: gateway, place)
        } else {
            session.dialPutOff(number, loop.now)
        }
    }

    /// There is a place for a dial that has waited.
    func dial(_ number: LinkNumber, on path: PathID, to gateway: SocketAddress, _ place: DialQueue.Place) {
        // Another link may have joined meanwhile.
        guard !isFinished, session.dialBegins(number, loop.now) else { return }
        begin(number, on: path, to: gateway, place)
        settle()
    }

    private func begin(
        _ number: LinkNumber, on path: PathID, to gateway: SocketAddress, _ place: DialQueue.Place
    ) {
        guard let paths else { return }
        do {
            let socket = try TCPSocket.dial(
                gateway, from: paths.source(of: path), transport: paths.transport, profile: .suited(to: gateway),
                fastOpen: paths.transport == .tcp && mayOpenFast(gateway, on: path))
            let connection = LinkConnection(
                tag: nextTag(), number: number, try link(over: socket, to: gateway), to: gateway, on: path,
                stage: .connecting)
            connection.place = place
            connection.registration = try loop.register(connection.link.number, self, tag: connection.tag)
            links.append(connection)
        } catch let error as Errno {
            lose(number, .socket(error.rawValue))
        } catch {
            lose(number, .security(.handshake))
        }
    }

    /// Interfaces, addresses or routes have changed, or the machine has slept: paths come and go with their sources, links
    /// whose address is gone are replaced at once, and all others are asked whether they still work.
    ///
    /// - Parameter hasSlept: the peers' view of the links is old, so that each is replaced unless it answers sooner.
    public func networkChanged(_ state: NetworkState, hasSlept: Bool) {
        guard let paths, !paths.gateways.allSatisfy(\.isLoopback) else { return }
        let usable = paths.usable(in: state)
        for path in usablePaths where !usable.contains(path) { session.removePath(path, loop.now) }
        for path in usable where !usablePaths.contains(path) { session.addPath(path, loop.now) }
        usablePaths = usable
        for link in links {
            guard let local = link.local, hasSlept || !state.isUsable(local.host) else { continue }
            session.suspect(link.number, loop.now)
        }
        history.note(.networkChanged, loop.now)
        session.networkChanged(loop.now)
        settle()
    }

    /// Further addresses of the opener's gateway are known now: links will try them too.
    public func learn(_ gateways: [SocketAddress]) {
        guard let known = paths?.gateways else { return }
        // Links on loopback are plain, and none that leaves the host may take after them.
        let isLocal = known.allSatisfy(\.isLoopback)
        paths?.gateways += gateways.filter { !known.contains($0) && (!isLocal || $0.isLoopback) }
    }

    /// Another link to this host has failed: asks whether this session's still work.
    public func checkLinks(to host: SocketAddress.Host) {
        guard links.contains(where: { $0.remote.host == host }) else { return }
        session.checkLinks(loop.now)
        settle()
    }

    /// What has broken this link may have broken others to the same host. To be called before the session forgets it.
    func warnNeighbours(of number: LinkNumber) {
        guard let link = links.first(where: { $0.number == number }), link.stage.isSecured else { return }
        owner?.linkBroke(self, to: link.remote.host)
    }
}
