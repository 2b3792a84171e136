import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A client of the SOCKS port, until it has said where it wants to go. On the main loop.
final class ProxyHandshake {
    /// How long it may take for that: clients say it at once, or after a question or two.
    private static let limit = Interval.seconds(10)
    /// Bytes looked at in one turn. What is behind the request stays in the socket, where the connection finds it.
    private static let glance = 16 << 10

    private let agent: Agent
    private let associations: ProxyAssociations
    private var socket: TCPSocket?
    private var negotiation: ProxyNegotiation
    private var registration: Registration?
    private var timer: TimerToken?
    private let ended: () -> Void

    /// - Parameter ended: called once, when this knows where the client wants to go, or that it will not be told; not if this
    ///   throws.
    static func begin(
        _ socket: consuming TCPSocket, _ negotiation: ProxyNegotiation, _ associations: ProxyAssociations,
        _ agent: Agent, ended: @escaping () -> Void
    ) throws(Errno) {
        let number = socket.number
        let handshake = ProxyHandshake(socket, negotiation, associations, agent, ended)
        handshake.registration = try agent.loop.register(number, handshake)
        handshake.timer = agent.loop.schedule(handshake, at: agent.loop.now + limit)
    }

    private init(
        _ socket: consuming TCPSocket, _ negotiation: ProxyNegotiation, _ associations: ProxyAssociations,
        _ agent: Agent, _ ended: @escaping () -> Void
    ) {
        self.socket = consume socket
        self.negotiation = negotiation
        self.associations = associations
        self.agent = agent
        self.ended = ended
    }

    /// Goes on with what has come.
    private func hear() {
        let scratch = UnsafeMutableRawBufferPointer(rebasing: agent.loop.scratch[..<Self.glance])
        while let result = socket?.peek(into: scratch) {
            switch result {
            case .wouldBlock: return
            case .endOfStream, .failed: return end()
            case .bytes(let seen):
                let (count, step) = negotiation.take([UInt8](scratch[..<seen])[...])
                // Taken now: a byte more would be one of the connection's.
                if count > 0 { _ = socket?.receive(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])) }
                act(step)
            }
        }
    }

    private func act(_ step: ProxyStep) {
        switch step {
        case .needsMore: break
        case .says(let bytes): if socket?.send(bytes) != .bytes(bytes.count) { end() }
        case .asks(let address, let dialect):
            guard let socket = leave() else { return }
            ProxyRequest.begin(ProxyClient(socket, dialect), to: address, agent)
        case .associates(let announced):
            guard let socket = leave() else { return }
            associations.begin(ProxyClient(socket, .socks5), announced: announced)
        case .refuses(let bytes, let reason):
            agent.notices.explain("a client of the SOCKS port: \(reason)")
            guard let socket = leave() else { return }
            _ = try? socket.setResetOnClose(false)
            LastWords.say(bytes, over: Link(plain: socket), on: agent.loop)
        }
    }

    private func end() { _ = leave() }

    private func leave() -> TCPSocket? {
        if let registration { agent.loop.deregister(registration) }
        if let timer { agent.loop.cancel(timer) }
        registration = nil
        timer = nil
        guard let socket = socket.take() else { return nil }
        ended()
        return socket
    }
}

extension ProxyHandshake: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { hear() }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        agent.notices.explain("a client of the SOCKS port has not said where it wants to go")
        end()
    }
}
