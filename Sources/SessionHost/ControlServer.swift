import CLinux
public import Engine
public import Interception
import Keeper
public import Kernel
import SessionProtocol
public import SystemPackage
public import Transport

/// Answers on the control socket: `usl status`, `usl drop`, and for an agent its applications. On the main loop.
public final class ControlServer {
    /// What an agent does with an application that connects; it owns the connection from then on.
    public typealias ConnectHandler = (
        consuming ControlConnection, AddressBytes, _ blocking: Bool, _ process: pid_t, consuming Descriptor
    ) -> Void
    /// What an agent answers to `peerName` and `localName`.
    public typealias NamesHandler = (_ cookie: UInt64) -> SocketNames?

    /// What an agent makes of a name that an application has resolved.
    public typealias ResolvedHandler = (ResolvedName) -> Void

    /// What an agent does with an application that sends datagrams; it owns the connection from then on.
    public typealias AssociateHandler = (
        consuming ControlConnection, AddressBytes, _ connecting: Bool, consuming Descriptor
    ) -> Void
    /// What an agent answers to `relayed`.
    public typealias RelayedHandler = (_ relay: AddressBytes, _ local: Bool) -> AddressBytes?

    /// What an agent does with the held SYN of a donated socket; it owns the connection from then on.
    public typealias HeldHandler = (
        consuming ControlConnection, _ source: AddressBytes, _ destination: AddressBytes, _ process: pid_t
    ) -> Void

    /// What an agent does with a donated socket that is about to listen; it owns the connection from then on.
    public typealias ListenHandler = (consuming ControlConnection, AddressBytes, _ isDual: Bool) -> Void
    /// What an agent does with a donated socket that sends datagrams: it answers with a socket of its own.
    public typealias DatagramsHandler = (consuming ControlConnection, _ source: AddressBytes) -> Void
    /// What an agent does with datagrams of a donated socket, as with those of an application; it owns the connection from then on.
    public typealias RelayDatagramsHandler = (
        consuming ControlConnection, AddressBytes, _ process: pid_t, consuming Descriptor
    ) -> Void
    /// What an agent does when an application listens.
    public typealias ListeningHandler = (_ address: AddressBytes, _ process: pid_t) -> Void
    /// What an agent answers to `client`, when it knows; nil: it is no connection of a gateway's.
    public typealias ClientHandler = (_ leg: AddressBytes, _ answer: @escaping (AddressBytes?) -> Void) -> Void

    public struct AgentHandlers {
        let listen: ListenHandler
        let held: HeldHandler
        let connect: ConnectHandler
        let names: NamesHandler
        let resolved: ResolvedHandler
        let associate: AssociateHandler
        let relayed: RelayedHandler
        let listening: ListeningHandler
        let client: ClientHandler
        let datagrams: DatagramsHandler
        let relayDatagrams: RelayDatagramsHandler

        public init(
            connect: @escaping ConnectHandler, names: @escaping NamesHandler, resolved: @escaping ResolvedHandler,
            associate: @escaping AssociateHandler, relayed: @escaping RelayedHandler, held: @escaping HeldHandler,
            listen: @escaping ListenHandler, listening: @escaping ListeningHandler, client: @escaping ClientHandler,
            datagrams: @escaping DatagramsHandler, relayDatagrams: @escaping RelayDatagramsHandler
        ) {
            self.listen = listen
            self.held = held
            self.connect = connect
            self.names = names
            self.resolved = resolved
            self.associate = associate
            self.relayed = relayed
            self.listening = listening
            self.client = client
            self.datagrams = datagrams
            self.relayDatagrams = relayDatagrams
        }
    }

    /// What a gateway says beside its sessions.
    public struct GatewayHandlers {
        let strangers: () -> StrangerReport
        let clientName: (Fingerprint) -> String?
        let offer: (consuming Descriptor) -> Void
        let client: (_ leg: SocketAddress) -> SocketAddress?

        /// - Parameters:
        ///   - clientName: what is known of who holds a key.
        ///   - offer: what it does with its end of an ``OfferChannel``.
        ///   - client: whose connection a server sees at an address.
        public init(
            strangers: @escaping () -> StrangerReport, clientName: @escaping (Fingerprint) -> String?,
            offer: @escaping (consuming Descriptor) -> Void,
            client: @escaping (_ leg: SocketAddress) -> SocketAddress?
        ) {
            self.strangers = strangers
            self.clientName = clientName
            self.offer = offer
            self.client = client
        }
    }

    private let listener: ControlListener
    private let loop: EventLoop
    private let pool: LoopPool
    private let agent: AgentHandlers?
    private let escrow: EscrowClient?
    private let gateway: GatewayHandlers?
    private var clients: [ObjectIdentifier: ControlClient] = [:]
    private var retryTimer: TimerToken?
    /// How soon to try again to accept when descriptors have run out.
    private static let acceptRetry = Interval.milliseconds(100)

    public init(
        _ control: consuming Descriptor, on loop: EventLoop, pool: LoopPool, escrow: EscrowClient? = nil,
        connect agent: AgentHandlers?, gateway: GatewayHandlers? = nil
    ) throws(Errno) {
        self.gateway = gateway
        self.escrow = escrow
        listener = ControlListener(adopting: control)
        self.loop = loop
        self.pool = pool
        self.agent = agent
        _ = try loop.register(listener.descriptor.number, self)
    }

    fileprivate func forget(_ client: ControlClient) { clients[ObjectIdentifier(client)] = nil }

    /// Acts on a client's request.
    fileprivate func received(_ client: ControlClient, _ request: ControlRequest, _ socket: consuming Descriptor?) {
        switch request {
        case .connect(let address, let blocking, let process):
            let applicant = process != 0 ? process : client.process
            guard let connection = client.leave(), let agent else { return }
            guard let socket else {
                // This process has no descriptor left for it (unix(7), SCM_RIGHTS). Without an answer, the application would
                // connect past its gateway.
                _ = try? connection.send(.refused(EMFILE))
                return
            }
            agent.connect(connection, address, blocking, applicant, socket)
        case .peerName(let cookie, let peer):
            if let name = agent?.names(cookie)?.peer {
                answer(client, name)
            } else if let peer {
                tellClient(client, at: peer)
            } else {
                answer(client, nil)
            }
        case .localName(let cookie): answer(client, agent?.names(cookie)?.local)
        // Only behind `connect`, `heldSYN` and `listen`.
        case .attemptFailed, .leg, .legFailed: _ = client.leave()
        case .listen(let address, let isDual):
            guard let connection = client.leave(), let agent else { return }
            agent.listen(connection, address, isDual)
        case .heldSYN(let destination, let process):
            guard let connection = client.leave(), let agent,
                case .request(.heldSYN(let source, _), _) = (try? connection.receive()) ?? .malformed
            else { return }
            agent.held(connection, source, destination, process)
        case .associate(let address, let connecting):
            guard let connection = client.leave(), let agent else { return }
            guard let socket else {
                _ = try? connection.send(.direct)
                return
            }
            agent.associate(connection, address, connecting, socket)
        case .datagrams(let source):
            if let connection = client.leave(), let agent { agent.datagrams(connection, source) }
        case .relayDatagrams(let address, let process):
            // Without its socket, this process has no descriptor left: it is asked again.
            guard let connection = client.leave(), let agent, let socket else { return }
            agent.relayDatagrams(connection, address, process, socket)
        case .relayed(let relay, let local): answer(client, agent?.relayed(relay, local))
        case .listening(let address, let process):
            agent?.listening(address, process != 0 ? process : client.process)
            answer(client, nil)
        case .offer:
            _ = client.leave()
            if let socket { gateway?.offer(socket) }
        case .client(let leg): tellClient(client, at: leg)
        case .replace(let version):
            guard version == Ledger.version, let socket, let escrow else {
                _ = try? client.leave()?.send(.refused(EPROTONOSUPPORT))
                return
            }
            // The client's answer is the end of its connection, when this process has been killed.
            escrow.requestReplacement(socket)
        case .resolved(let byteCount):
            guard let connection = client.leave(), let agent else { return }
            if let name = try? connection.receiveResolved(byteCount: byteCount) { agent.resolved(name) }
        case .status: answer(client, gateway?.strangers()) { $0.reports }
        case .session(let name): answer(client) { table in table.detail(of: SessionID(name)).map { [$0] } ?? [] }
        case .drop(let name):
            answer(client) { table in
                let report = table.detail(of: SessionID(name))
                table.giveUp(SessionID(name), because: .byHand)
                return report.map { [$0] } ?? []
            }
        }
    }

    private func tellClient(_ client: ControlClient, at leg: AddressBytes) {
        if let agent {
            agent.client(leg) { [self] in answer(client, $0) }
        } else {
            answer(client, SocketAddress(leg).flatMap { gateway?.client($0) }.map { AddressBytes($0) })
        }
    }

    private func answer(_ client: ControlClient, _ name: AddressBytes?) {
        if let connection = client.leave() { _ = try? connection.send(name.map { .asked($0) } ?? .notMine) }
    }

    private func answer(
        _ client: ControlClient, _ strangers: StrangerReport? = nil,
        _ collect: @escaping @Sendable (SessionTable) -> [ProgramReport]
    ) {
        guard client.waitsForAnswer() else { return }
        let waiting = LoopBound((client: client, name: gateway?.clientName), on: loop)
        pool.gather(collect) { reports, loop in
            let (client, name) = waiting.on(loop)
            client.say(Array(StatusJSON.encode(reports, strangers, clientName: name ?? { _ in nil }).utf8))
        }
    }
}

extension ControlServer: EventHandler, TimerHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        accept()
    }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        accept()
    }

    private func accept() {
        do throws(Errno) {
            while let connection = try listener.accept() {
                let client = try ControlClient(connection, of: self, on: loop)
                clients[ObjectIdentifier(client)] = client
            }
        } catch {
            // Out of descriptors, and clients wait: no event tells when there are some again.
            if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + ControlServer.acceptRetry) }
        }
    }
}

extension SessionID {
    fileprivate init(_ name: SessionName) { self.init(high: name.high, low: name.low) }
}

/// One connection to the control socket.
private final class ControlClient {
    private var connection: ControlConnection?
    private let loop: EventLoop
    private unowned let server: ControlServer
    private var registration: Registration?
    private var isAnswered = false
    private var answer: [UInt8] = []
    private var sent = 0

    init(_ connection: consuming ControlConnection, of server: ControlServer, on loop: EventLoop) throws(Errno) {
        self.loop = loop
        self.server = server
        let number = connection.descriptor.number
        self.connection = consume connection
        registration = try loop.register(number, self)
    }

    /// Who it is; 0 if that is unknown.
    var process: pid_t { connection?.peer.process ?? 0 }

    func leave() -> ControlConnection? {
        if let registration { loop.deregister(registration) }
        registration = nil
        server.forget(self)
        return connection.take()
    }

    /// False if it asks for a second time.
    func waitsForAnswer() -> Bool {
        defer { isAnswered = true }
        return !isAnswered
    }

    /// Sends the answer until its end, as fast as the client reads it.
    func say(_ bytes: [UInt8]) {
        answer = bytes
        send()
    }

    private func send() {
        guard let number = connection?.descriptor.number else { return }
        while sent < answer.count {
            let count = answer.withUnsafeBytes {
                CLinux.send(
                    number, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count < 0, usl_errno() == EAGAIN { return }
            guard count > 0 else { break }
            sent += count
        }
        _ = leave()
    }
}

extension ControlClient: EventHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        if !answer.isEmpty { return send() }
        guard connection != nil else { return }
        switch (try? connection?.receive()) ?? .end {
        case .nothing: return
        case .end: _ = leave()
        case .malformed: _ = leave()
        case .request(let request, let socket): server.received(self, request, socket)
        }
    }
}
