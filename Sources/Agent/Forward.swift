import CLinux
import Engine
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// `usl forward`: each connection that is accepted becomes a session to the target, or a plain connection where there is
/// no gateway.
final class Forward {
    private let target: SocketAddress
    private let agent: Agent
    private var acceptor: Acceptor?

    init(from listeners: [Listener], to target: SocketAddress, _ agent: Agent) throws(Errno) {
        self.target = target
        self.agent = agent
        acceptor = try Acceptor(
            listeners, on: agent.loop, failed: { [agent] in agent.notices.warn($0.acceptFailure) },
            accepted: { [unowned self] in accepted($0) })
    }

    private func accepted(_ socket: consuming TCPSocket) {
        do throws(Errno) {
            try begin(socket)
        } catch {
            agent.notices.warn("\(target): \(error); the connection is reset")
        }
    }

    /// A connection that has gone meanwhile is closed, which is all that there is to do.
    private func begin(_ socket: consuming TCPSocket) throws(Errno) {
        try socket.setResetOnClose(true)
        try LinkProfile.leg.apply(to: socket)
        let number = socket.number
        var waiting: TCPSocket? = consume socket
        let target = target
        agent.escrow.hold(.leg, number) { [agent] key in
            agent.route(to: target, for: .forward) { route in
                guard let leg = waiting.take() else { return }
                switch route {
                case .shim(let verdict):
                    agent.escrow.release(key)
                    Forward.race(leg, to: target, PathSearch(verdict, agent.rules), agent)
                case .direct:
                    agent.escrow.release(key)
                    PlainRelay.start(leg, to: [target], on: agent.loop) { error in
                        if let error { agent.notices.warn("\(target): \(error); the connection is reset") }
                    }
                case .forbidden: Forward.refuse(leg, key, "a rule refuses it", target, agent)
                case .refused(let error): Forward.refuse(leg, key, "\(error)", target, agent)
                case .session(let route):
                    ForwardedConnection.enter(leg, escrowKey: key, to: target, through: route, agent)
                }
            }
        }
    }
}

extension Forward {
    private static func refuse(
        _ leg: consuming TCPSocket, _ key: EscrowKey, _ reason: String, _ target: SocketAddress, _ agent: Agent
    ) {
        agent.notices.warn("\(target): \(reason); the connection is reset")
        _ = try? leg.abort()
        agent.escrow.release(key)
    }

    /// Carries a connection on over the first path that works.
    private static func race(_ leg: consuming TCPSocket, to target: SocketAddress, _ search: PathSearch, _ agent: Agent)
    {
        var waiting: TCPSocket? = consume leg
        let race = PathRace(to: target, search, from: nil, history: .notStarted, agent) { outcome in
            guard let leg = waiting.take() else { return }
            switch consume outcome {
            case .connected(_, let socket):
                agent.countConnections(+1)
                PlainRelay.join(leg, with: socket, on: agent.loop) { agent.countConnections(-1) }
            case .failed(let error):
                agent.notices.warn("\(target): \(error); the connection is reset")
                _ = try? leg.abort()
            }
        }
        race.begin()
    }
}
