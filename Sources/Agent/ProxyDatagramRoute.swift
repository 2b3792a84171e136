import Engine
import Interception
import Kernel
import Policy
import Rendezvous
import SessionProtocol
import SystemPackage
import Transport

/// One destination of an association, as its client spells it. On the main loop.
///
/// Requests of protocols that policy lists go through a ``DatagramRelay``, to which this is the application, with a socket of its
/// own: what comes there comes from that destination. What policy leaves alone goes from that socket to the destination itself.
final class ProxyDatagramRoute {
    /// Datagrams that wait until it is known where they go. More are lost, as on any full queue.
    private static let maximumWaiting = 8
    /// As of other relays: no request is waited for any longer.
    private static let budget = Duration.seconds(10)

    private enum State {
        case opening(waiting: [[UInt8]])
        case open(DatagramLine, DatagramRelay?)
        /// What goes there is dropped; people have been told why.
        case refused
        case ended
    }

    let asked: ProxyAddress
    private(set) var lastUse: Instant
    private let agent: Agent
    private let paths: AnsweringPaths
    private let answered: (_ peer: ProxyAddress, _ count: Int) -> Void
    private var state = State.opening(waiting: [])

    /// - Parameter answered: called with what comes, which is in the loop's scratch buffer, and the address whose answer it is.
    init(
        to asked: ProxyAddress, _ paths: AnsweringPaths, _ agent: Agent,
        answered: @escaping (_ peer: ProxyAddress, _ count: Int) -> Void
    ) {
        self.asked = asked
        self.paths = paths
        self.agent = agent
        self.answered = answered
        lastUse = agent.loop.now
    }

    func send(_ content: [UInt8]) {
        lastUse = agent.loop.now
        switch state {
        case .opening(let waiting):
            if waiting.count < Self.maximumWaiting { state = .opening(waiting: waiting + [content]) }
        case .open(let line, _): send(content, on: line)
        case .refused, .ended: break
        }
    }

    private func send(_ content: [UInt8], on line: DatagramLine) {
        do throws(Errno) {
            try line.send(content)
        } catch {
            // It may be about an earlier one, and is told once. If not, this one is lost.
            try? line.send(content)
        }
    }

    func end() {
        if case .open(let line, let relay) = state {
            line.close()
            relay?.end()
        }
        state = .ended
    }

    /// Closes what has not been used for long.
    func tidy() { if case .open(_, let relay) = state { relay?.tidy() } }

    // MARK: - Where it leads

    /// Finds out where it leads.
    func open() {
        guard asked.port != 0 else { return refuse("0 is no port") }
        agent.findHosts(of: asked) { [self] answer in
            switch answer {
            case .found(let hosts): open(hosts[...], orRefuse: "there is no address")
            case .failed(_, let text): refuse(text)
            }
        }
    }

    private var isOpening: Bool { if case .opening = state { true } else { false } }

    /// Takes the first address to which something can be sent.
    private func open(_ hosts: ArraySlice<SocketAddress.Host>, orRefuse text: String) {
        guard isOpening else { return }
        guard let host = hosts.first else { return refuse(text) }
        let others = hosts.dropFirst()
        let destination = SocketAddress(host: host, port: asked.port).unmapped
        agent.rules.verdict(on: destination, .socks, .udp) { [self] verdict in
            guard isOpening else { return }
            let by = verdict.origin.map { ", by \($0)" } ?? ""
            do throws(Errno) {
                // Where others are known, one without a way to it is none.
                if !others.isEmpty { _ = try destination.naturalSource() }
                switch verdict.treatment {
                case .refuse: return open(others, orRefuse: "a rule refuses it\(by)")
                case .direct: try pass(to: destination)
                case .session, .shim, .shimSources:
                    if isHelped(destination) { try relay(to: destination, verdict) } else { try pass(to: destination) }
                }
                guard case .open(_, let relay) = state else { return }
                let way = relay == nil ? "sent directly" : "through a relay"
                agent.notices.explain("\(Applicant.socksName) to \(destination): datagrams \(way)\(by)")
            } catch {
                open(others, orRefuse: "\(error)")
            }
        }
    }

    /// Whether there may be other paths. What the command line says about all treatments lists no port.
    private func isHelped(_ destination: SocketAddress) -> Bool {
        !destination.isLoopback && !destination.isLinkLocal && !destination.isMulticast
            && agent.rules.concernsDatagrams(to: destination.port)
    }

    private func pass(to destination: SocketAddress) throws(Errno) {
        opened(try line(to: destination, answering: destination), nil)
    }

    private func relay(to destination: SocketAddress, _ verdict: Verdict) throws(Errno) {
        let socket = try DatagramSocket(family: SocketAddress.loopback(like: .v4(0), port: 0).family)
        try socket.bind(to: .loopback(like: .v4(0), port: 0))
        let line = try line(to: try socket.localAddress(), answering: destination)
        do throws(Errno) {
            // Nobody else on this machine can send there, or answer.
            guard let sender = line.localAddress else { throw .addressNotAvailable }
            try socket.connect(to: sender)
            let application = DatagramRelay.Application(
                user: Applicant.socks.user, destination: destination, source: nil)
            let relay = try DatagramRelay(
                socket, for: application, from: sender, surroundings(destination, verdict), on: agent.loop)
            opened(line, relay)
        } catch {
            line.close()
            throw error
        }
    }

    private func surroundings(_ destination: SocketAddress, _ verdict: Verdict) -> DatagramRelay.Surroundings {
        var limits = verdict.attempts
        limits.budget = min(limits.budget, Self.budget)
        return .init(
            paths: paths, timing: AttemptTiming(limits),
            find: DatagramPathSearch(agent, to: destination, from: nil, verdict).find,
            isApplication: { source, relay in source == relay.sender },
            explain: { [agent] in agent.notices.explain("\(Applicant.socksName): \($0)") })
    }

    /// - Parameter destination: whose answers come there.
    private func line(to place: SocketAddress, answering destination: SocketAddress) throws(Errno) -> DatagramLine {
        // In the client's own spelling, unless that is a name: an answer comes from an address.
        let peer = if case .name = asked.host { ProxyAddress(destination) } else { asked }
        return try DatagramLine(
            CandidatePair(source: nil, destination: IPAddress(place.host)), port: place.port, on: agent.loop
        ) { [weak self] _, event in
            guard let self, case .received(let count) = event else { return }
            lastUse = agent.loop.now
            answered(peer, count)
        }
    }

    private func opened(_ line: DatagramLine, _ relay: DatagramRelay?) {
        guard case .opening(let waiting) = state else { return }
        state = .open(line, relay)
        for content in waiting { send(content, on: line) }
    }

    private func refuse(_ text: String) {
        guard isOpening else { return }
        state = .refused
        agent.notices.explain("\(Applicant.socksName) to \(asked): datagrams dropped: \(text)")
    }
}

extension SocketAddress {
    /// 224.0.0.0/4 and ff00::/8.
    fileprivate var isMulticast: Bool {
        switch host {
        case .v4(let address): address >> 28 == 0xe
        case .v6(let high, _, _): high >> 56 == 0xff
        }
    }
}
