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
    private static let acceptRetry = Interval.milliseconds(100)

    private let listeners: [Listener]
    private let target: SocketAddress
    private let agent: Agent
    private var retryTimer: TimerToken?

    init(from listeners: [Listener], to target: SocketAddress, _ agent: Agent) throws(Errno) {
        self.listeners = listeners
        self.target = target
        self.agent = agent
        for (index, listener) in listeners.enumerated() {
            _ = try agent.loop.register(listener.socket.number, self, tag: UInt32(index))
        }
    }

    private func accept(from listener: Listener) {
        do throws(Errno) {
            while let socket = try listener.socket.accept() { try begin(socket) }
        } catch {
            agent.notices.warn("cannot accept connections: \(error)")
            if retryTimer == nil { retryTimer = agent.loop.schedule(self, at: agent.loop.now + Forward.acceptRetry) }
        }
    }

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
                case .refused(let error):
                    agent.notices.warn("\(target): \(error); the connection is reset")
                    _ = try? leg.abort()
                    agent.escrow.release(key)
                case .session(let route):
                    ForwardedConnection.enter(leg, escrowKey: key, to: target, through: route, agent)
                }
            }
        }
    }
}

extension Forward {
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

extension Forward: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        accept(from: listeners[Int(tag)])
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        for listener in listeners { accept(from: listener) }
    }
}
