import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A client's association: a socket for its datagrams, which say where they go, and lives as long as the connection on which the client
/// has asked for it (RFC 1928, sections 6 and 7). On the main loop.
final class ProxyAssociation {
    /// Destinations at a time. Another takes the place of the one that has been silent the longest.
    static let maximumRoutes = 64
    /// A destination is forgotten after this time without a datagram: RFC 4787, section 4.3, asks as much of address translators.
    static let idleLimit = Interval.seconds(120)
    private static let tidyPeriod = Interval.seconds(30)
    /// Datagrams that are taken before others get their turn.
    private static let turnLimit = 64
    /// A client that is gone without a word is noticed in two minutes.
    private static let profile = LinkProfile(
        name: "association", keepAlive: .init(idle: .seconds(60), between: .seconds(15), count: 4))

    private enum Tag {
        static let connection: UInt32 = 0
        static let datagrams: UInt32 = 1
    }

    /// What the client is told of once.
    private enum Mistake {
        case noHeader
        case fragment
        case noRoom
    }

    private let desk: ProxyAssociations
    private let agent: Agent
    private let loop: EventLoop
    /// Where the client sends its datagrams to.
    let address: SocketAddress
    /// Where they come from. Its port is 0 until it is known.
    private var client: SocketAddress
    /// nil when this has ended, as with the others.
    private var socket: DatagramSocket?
    private var connection: TCPSocket?
    private var registrations: [Registration] = []
    private var timer: TimerToken?
    private var routes: [ProxyAddress: ProxyDatagramRoute] = [:]
    private var told: Set<Mistake> = []
    var isQueued = false

    /// - Parameters:
    ///   - connection: the client's.
    ///   - port: from which its datagrams come; 0: from the first from which one comes.
    init(
        of connection: borrowing TCPSocket, port: UInt16, _ desk: ProxyAssociations, _ agent: Agent
    ) throws(Errno) {
        let local = try connection.localAddress().unmapped
        let client = try connection.remoteAddress().unmapped.with(port: port)
        let socket = try DatagramSocket(family: local.family)
        try socket.bind(to: local.with(port: 0))
        // From now on, the kernel keeps away what others send.
        if port != 0 { try socket.connect(to: client) }
        address = try socket.localAddress()
        self.client = client
        self.socket = consume socket
        self.desk = desk
        self.agent = agent
        loop = agent.loop
    }

    /// The client knows of it.
    func begin(_ connection: consuming TCPSocket) throws(Errno) {
        guard let number = socket?.number else { return }
        _ = try Self.profile.apply(to: connection)
        registrations = [try loop.register(connection.number, self, tag: Tag.connection)]
        self.connection = consume connection
        do throws(Errno) {
            registrations.append(try loop.register(number, self, tag: Tag.datagrams))
        } catch {
            close()
            throw error
        }
        setTimer()
    }

    private func end() {
        guard socket != nil else { return }
        close()
        desk.ended()
    }

    private func close() {
        for registration in registrations { loop.deregister(registration) }
        registrations = []
        if let timer { loop.cancel(timer) }
        timer = nil
        for route in routes.values { forget(route) }
        socket = nil
        connection = nil
    }

    // MARK: - The connection

    /// Nothing is said on it but that it ends.
    private func watch() {
        let scratch = UnsafeMutableRawBufferPointer(rebasing: loop.scratch[..<4096])
        for _ in 0..<Self.turnLimit {
            switch connection?.receive(into: scratch) {
            case .bytes: continue
            case .wouldBlock, nil: return
            case .endOfStream:
                try? connection?.setResetOnClose(false)
                return end()
            case .failed: return end()
            }
        }
        loop.runLater(self)
    }

    // MARK: - Datagrams of the client

    private func takeDatagrams() {
        for _ in 0..<Self.turnLimit {
            do throws(Errno) {
                guard let received = try socket?.receive(into: loop.scratch) else { return }
                take(received)
            } catch {
                // The client has closed its socket while an answer was on its way. Datagrams may stand behind this.
            }
        }
        loop.runLater(self)
    }

    private func take(_ received: DatagramSocket.Received) {
        let sender = received.sender.unmapped
        guard sender.host == client.host, client.port == 0 || sender.port == client.port else { return }
        let bytes = [UInt8](loop.scratch[..<received.count])
        guard let datagram = ProxyDatagram(bytes[...]) else {
            return tell(.noHeader, "datagrams without a header are dropped")
        }
        if client.port == 0 {
            client = sender
            try? socket?.connect(to: sender)
        }
        guard datagram.fragment == 0 else { return tell(.fragment, "fragments are dropped") }
        guard let route = route(to: datagram.address) else {
            return tell(.noRoom, "there are too many destinations: some datagrams are dropped")
        }
        route.send(Array(bytes[datagram.headerLength...]))
    }

    private func tell(_ mistake: Mistake, _ text: String) {
        guard told.insert(mistake).inserted else { return }
        agent.notices.explain("\(Applicant.socksName), association at \(address): \(text)")
    }

    /// Tells the client what has come, which is in the loop's scratch buffer.
    ///
    /// - Parameter peer: whose answer it is.
    func answer(from peer: ProxyAddress, count: Int) {
        let datagram = ProxyDatagram.header(from: peer) + loop.scratch[..<count]
        datagram.withUnsafeBytes { bytes in
            // One that does not read, or has gone, misses it as it would any.
            do throws(Errno) {
                try socket?.send(bytes)
            } catch .connectionRefused {
                // That was about an earlier one.
                try? socket?.send(bytes)
            } catch {
                // As if lost on the way.
            }
        }
    }

    // MARK: - Destinations

    private func route(to asked: ProxyAddress) -> ProxyDatagramRoute? {
        if let route = routes[asked] { return route }
        if routes.count >= Self.maximumRoutes { forgetOldest() }
        if !desk.takeRoom() {
            forgetOldest()
            guard desk.takeRoom() else { return nil }
        }
        let route = ProxyDatagramRoute(to: asked, desk.paths, agent) { [weak self] peer, count in
            self?.answer(from: peer, count: count)
        }
        routes[asked] = route
        route.open()
        return route
    }

    private func forgetOldest() {
        if let oldest = routes.values.min(by: { $0.lastUse < $1.lastUse }) { forget(oldest) }
    }

    private func forget(_ route: ProxyDatagramRoute) {
        route.end()
        routes[route.asked] = nil
        desk.giveRoom()
    }

    private func setTimer() { timer = loop.schedule(self, at: loop.now + Self.tidyPeriod) }
}

extension ProxyAssociation: EventHandler, LoopTask, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        if tag == Tag.connection { watch() } else { takeDatagrams() }
    }

    func run(on loop: EventLoop) {
        watch()
        takeDatagrams()
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        for route in routes.values {
            let silence = loop.now - route.lastUse
            if silence >= Self.idleLimit { forget(route) } else if silence >= Self.tidyPeriod { route.tidy() }
        }
        setTimer()
    }
}
