import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// What a client of the SOCKS port has asked for, until it has its answer. On the main loop.
///
/// Of a name's addresses, one after the other is tried, as programs do that connect by themselves; where there is no session, the
/// `PathRace` knows them all. If none works, the client hears of the last one.
final class ProxyRequest {
    private enum Attempt {
        case none
        case dial(Dial)
        case race(PathRace)
        case session(AwaitedSession)
    }

    private let agent: Agent
    private let asked: ProxyAddress
    /// Until it is answered, or gone.
    private var client: ProxyClient?
    private var registration: Registration?
    private var left: ArraySlice<SocketAddress> = []
    private var attempt = Attempt.none
    /// Of the client's connection, once it may have a session.
    private var escrowKey: EscrowKey?
    /// Its connection must stay open until the keeper has its copy.
    private var isGoingIntoEscrow = false

    /// Answers a client.
    static func begin(_ client: consuming ProxyClient, to asked: ProxyAddress, _ agent: Agent) {
        let number = client.socket.number
        let request = ProxyRequest(client, asked, agent)
        do throws(Errno) {
            // Only to see it go.
            request.registration = try agent.loop.register(number, request)
        } catch {
            return request.deny(.general, "\(error)")
        }
        request.findAddresses()
    }

    /// Goes on for a client whose agent has died before the session was open that it waits for.
    ///
    /// - Parameter key: of its connection in escrow.
    static func goOn(
        _ leg: consuming TCPSocket, escrowKey key: EscrowKey, to destination: SocketAddress,
        through route: GatewayRoute, _ agent: Agent
    ) {
        let dialect = leg.owedDialect ?? .socks5
        let request = ProxyRequest(ProxyClient(leg, dialect), ProxyAddress(destination), agent)
        request.escrowKey = key
        request.session(to: destination, through: route).openAgain(heldUnder: key)
    }

    private init(_ client: consuming ProxyClient, _ asked: ProxyAddress, _ agent: Agent) {
        self.client = consume client
        self.asked = asked
        self.agent = agent
    }

    // MARK: - Addresses

    private func findAddresses() {
        agent.findHosts(of: asked) { [self] answer in
            switch answer {
            case .found(let hosts): tryAll(hosts)
            case .failed(let failure, let text): deny(failure, text)
            }
        }
    }

    private func tryAll(_ hosts: [SocketAddress.Host]) {
        left = hosts.map { SocketAddress(host: $0, port: asked.port).unmapped }[...]
        tryNext(orDeny: .general, "there is no address")
    }

    private func tryNext(orDeny failure: ProxyFailure, _ text: String) {
        attempt = .none
        guard client != nil else { return }
        guard let destination = left.popFirst() else { return deny(failure, text) }
        agent.route(to: destination, for: .socks) { [self] route in
            guard client != nil else { return }
            switch route {
            case .forbidden: tryNext(orDeny: .notAllowed, "\(prefix(destination))a rule refuses it")
            case .refused(let error): failed(destination, error)
            case .direct: dial(destination)
            case .shim(let verdict): race(destination, PathSearch(verdict, agent.rules))
            case .session(let route): open(destination, through: route)
            }
        }
    }

    /// People are told which address it was only if they have asked for a name.
    private func prefix(_ destination: SocketAddress) -> String {
        "\(destination)" == "\(asked)" ? "" : "\(destination): "
    }

    private func failed(_ destination: SocketAddress, _ error: Errno) {
        tryNext(orDeny: ProxyFailure(error), "\(prefix(destination))\(error)")
    }

    // MARK: - Without a session

    private func dial(_ destination: SocketAddress) {
        do throws(Errno) {
            let dial = try Dial(destination, profile: .relayed(to: destination), on: agent.loop) { [self] dial, error in
                let socket = dial.release()
                if let error { return failed(destination, error) }
                if let socket { join(socket) }
            }
            attempt = .dial(dial)
        } catch {
            failed(destination, error)
        }
    }

    private func race(_ destination: SocketAddress, _ search: PathSearch) {
        // It finds the other addresses by itself.
        left = []
        let race = PathRace(to: destination, search, from: nil, history: .notStarted, agent) { [self] outcome in
            switch consume outcome {
            case .connected(_, let socket): join(socket)
            case .failed(let error): failed(destination, error)
            }
        }
        attempt = .race(race)
        race.begin()
    }

    private func join(_ server: consuming TCPSocket) {
        guard let client = leave() else { return }
        releaseEscrow()
        guard let client = client.grant(at: try? server.localAddress()) else { return }
        agent.countConnections(+1)
        PlainRelay.join(client, with: server, on: agent.loop) { [agent] in agent.countConnections(-1) }
    }

    // MARK: - With a session

    /// A client must not hear of a connection that only this process knows of.
    private func open(_ destination: SocketAddress, through route: GatewayRoute) {
        if let escrowKey { return session(to: destination, through: route).open(heldUnder: escrowKey) }
        guard let number = client?.socket.number else { return }
        isGoingIntoEscrow = true
        agent.escrow.hold(.leg, number) { [self] key in
            isGoingIntoEscrow = false
            escrowKey = key
            session(to: destination, through: route).open(heldUnder: key)
        }
    }

    private func session(to destination: SocketAddress, through route: GatewayRoute) -> AwaitedSession {
        let session = AwaitedSession(for: Applicant.socksName, to: destination, through: route, agent) { [self] in
            happened($0, to: destination, through: route)
        }
        attempt = .session(session)
        return session
    }

    private func happened(
        _ outcome: AwaitedSession.Outcome, to destination: SocketAddress, through route: GatewayRoute
    ) {
        switch outcome {
        case .failed(let reason):
            let (failure, text) = (ProxyFailure(reason), reason.explanation(route.gatewayName))
            if failure == .notAllowed || failure == .general { agent.notices.warn("\(name): \(text)") }
            tryNext(orDeny: failure, text)
        case .opened:
            guard case .session(let session) = attempt, let client = leave(), let key = escrowKey.take() else { return }
            guard let leg = client.grant(at: destination.sessionSource) else {
                agent.escrow.release(key)
                return session.giveUp()
            }
            session.bring(leg, key)
        }
    }

    // MARK: - The client

    private var name: String { "\(Applicant.socksName) to \(asked)" }

    private func deny(_ failure: ProxyFailure, _ text: String) {
        guard let client = leave() else { return }
        agent.notices.explain("\(name): \(text)")
        // A copy of it would keep the connection open.
        releaseEscrow()
        client.deny(failure, text, on: agent.loop)
    }

    private func leave() -> ProxyClient? {
        if let registration { agent.loop.deregister(registration) }
        registration = nil
        attempt = .none
        return client.take()
    }

    private func releaseEscrow() {
        if let escrowKey { agent.escrow.release(escrowKey) }
        escrowKey = nil
    }
}

extension ProxyRequest: EventHandler {
    /// A client that has reset its connection waits no longer. One that has only ended its side may well do so.
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard !events.isDisjoint(with: [.error, .hangup]), !isGoingIntoEscrow else { return }
        let given = attempt
        guard let client = leave() else { return }
        switch given {
        case .none: break
        case .dial(let dial): dial.release()
        case .race(let race): race.cancel()
        case .session(let session): session.giveUp()
        }
        _ = try? client.socket.abort()
        releaseEscrow()
    }
}
