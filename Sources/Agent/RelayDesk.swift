import CLinux
import Engine
import Interception
import Keeper
import Kernel
import Policy
import Rendezvous
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// The relays of an agent: which application's socket has one for which destination. On the main loop.
final class RelayDesk {
    /// Relays at a time. Beyond, applications send directly.
    private static let maximum = 1024
    /// How often to look for relays that nobody uses any more.
    private static let tidyPeriod = Interval.seconds(15)
    /// A relay that has been used since is not looked at.
    private static let quietPeriod = Interval.seconds(30)
    /// How long one is kept whose application cannot be looked for.
    private static let unusedPeriod = Interval.hours(1)
    /// No request is waited for any longer: resolver libraries ask again after 5 s.
    private static let budget = Duration.seconds(10)

    private struct Key: Hashable {
        /// Of the application's socket (`SO_COOKIE`).
        let cookie: UInt64
        /// In its own spelling.
        let asked: SocketAddress
    }

    private unowned let agent: Agent
    private let loop: EventLoop
    private let paths = AnsweringPaths()
    private var places: RelayPlaces
    private var relays: [SocketAddress: DatagramRelay] = [:]
    private var addresses: [Key: SocketAddress] = [:]
    /// What says where relays lead that are not in escrow yet.
    private var targets: [SocketAddress: Handoff<DatagramSocket>] = [:]
    /// nil where the kernel cannot be asked who has a socket.
    private let diagnosis: SocketDiagnosis?
    private var timer: TimerToken?

    init(_ agent: Agent) {
        self.agent = agent
        loop = agent.loop
        diagnosis = try? SocketDiagnosis()
        // Agents of one machine begin at different places.
        places = RelayPlaces(seed: UInt16(truncatingIfNeeded: getpid()))
    }

    // MARK: - Questions of applications

    /// Where an application's datagrams go.
    ///
    /// - Parameter process: the application's, if it is not the one that asks.
    func associate(
        _ library: consuming ControlConnection, _ asked: AddressBytes, connecting: Bool,
        _ socket: consuming Descriptor, process: pid_t? = nil
    ) {
        guard let destination = SocketAddress(asked) else { return }
        let peer = library.peer
        do throws(Errno) {
            let application = try ApplicationSocket(copy: socket, destination: destination)
            let key = Key(cookie: application.cookie, asked: destination)
            if let address = addresses[key], let relay = relays[address], !relay.isBoundToSender {
                if connecting, application.hasAnyPort { relay.keep(application.kept()) }
                return try library.send(.leg(spelling(of: relay, for: destination)))
            }
            var applicant = Applicant(process: process ?? peer.process, user: peer.user, local: nil)
            applicant.local = application.chosenSource()
            // What stays on this machine needs no help.
            if destination.isLoopback { return try library.send(.direct) }
            if let obstacle = application.datagramObstacle(network: agent.network) {
                agent.notices.explain("\(applicant.name) to \(destination): datagrams go directly, \(obstacle)")
                return try library.send(.direct)
            }
            decide(library, application, connecting: connecting, applicant)
        } catch {
            agent.notices.explain("? to \(destination): datagrams go directly, \(error)")
            _ = try? library.send(.direct)
        }
    }

    private func decide(
        _ library: consuming ControlConnection, _ application: consuming ApplicationSocket, connecting: Bool,
        _ applicant: Applicant
    ) {
        let destination = application.destination
        var library: ControlConnection? = consume library
        var application: ApplicationSocket? = consume application
        agent.rules.verdict(on: destination, applicant, .udp) { [self] verdict in
            guard let application = application.take() else { return }
            let way: String
            var answer = ControlResponse.direct
            var relay: DatagramRelay?
            switch verdict.treatment {
            case .direct: way = "sent directly"
            case .refuse:
                way = "refused"
                answer = .refused(ECONNREFUSED)
            case .session, .shim, .shimSources:
                relay = open(application, connecting: connecting, verdict, applicant)
                if let relay { answer = .leg(spelling(of: relay, for: destination)) }
                way = relay == nil ? "sent directly" : "through a relay"
            }
            let by = verdict.origin.map { ", by \($0)" } ?? ""
            agent.notices.explain("\(applicant.name) to \(destination): datagrams \(way)\(by)")
            guard let relay else {
                _ = try? library.take()?.send(answer)
                return
            }
            secure(relay) { _ = try? library.take()?.send(answer) }
        }
    }

    private func spelling(of relay: DatagramRelay, for destination: SocketAddress) -> AddressBytes {
        AddressBytes(destination.isMapped ? relay.address.mapped : relay.address)
    }

    /// What an application shall see in the place of a relay's address, or of its own local one; nil if that is no relay.
    func name(at relay: AddressBytes, local: Bool) -> AddressBytes? {
        guard let address = SocketAddress(relay), let relay = relays[address.unmapped] else { return nil }
        let application = relay.application
        var name = application.destination
        if local {
            guard let source = application.source ?? (try? name.naturalSource().host) else { return nil }
            name = SocketAddress(host: source, port: 0)
        }
        // As the socket spells its addresses.
        return AddressBytes(address.isMapped ? name.mapped : name)
    }

    // MARK: - Relays

    /// Makes a relay; nil if there is no room, or no way to the destination: then the application has its errno from the kernel.
    private func open(
        _ application: consuming ApplicationSocket, connecting: Bool, _ verdict: Verdict, _ applicant: Applicant
    ) -> DatagramRelay? {
        if relays.count >= Self.maximum { tidy() }
        guard relays.count < Self.maximum else { return nil }
        let destination = application.destination.unmapped
        // From a socket without an address, the kernel sends to loopback from its first one.
        let local = applicant.local ?? SocketAddress.loopback(like: destination.host, port: 0).host
        let sender = application.port.map { SocketAddress(host: local, port: $0) }
        do throws(Errno) {
            let relayed = DatagramRelay.Application(
                user: try application.owner(), destination: destination, source: applicant.local)
            let target = Handoff(try DatagramSocket.connected(to: destination, from: relayed.source))
            let relay = try DatagramRelay(
                places.socket(like: destination), for: relayed, from: sender,
                surroundings(relayed, verdict, applicant), on: loop)
            add(relay)
            addresses[Key(cookie: application.cookie, asked: application.destination)] = relay.address
            targets[relay.address] = target
            // Its port is taken for as long as the copy exists.
            if connecting, application.hasAnyPort { relay.keep(application.kept()) }
            return relay
        } catch {
            return nil
        }
    }

    private func surroundings(
        _ application: DatagramRelay.Application, _ verdict: Verdict, _ applicant: Applicant
    ) -> DatagramRelay.Surroundings {
        var limits = verdict.attempts
        limits.budget = min(limits.budget, Self.budget)
        return .init(
            paths: paths, timing: AttemptTiming(limits),
            find: DatagramPathSearch(agent, to: application.destination, from: application.source, verdict).find,
            isApplication: { [unowned self] in isOwner($1.application.user, of: $0, sendingTo: $1.address) },
            explain: { [agent] in agent.notices.explain("\(applicant.name): \($0)") })
    }

    private func add(_ relay: DatagramRelay) {
        relays[relay.address] = relay
        setTimer()
    }

    // MARK: - Escrow

    /// Puts a relay into escrow, before any application knows of it: one that has connected its socket would be refused for ever
    /// if it went with this process.
    private func secure(_ relay: DatagramRelay, then: @escaping () -> Void) {
        guard let target = targets.removeValue(forKey: relay.address)?.take() else { return then() }
        let number = target.number
        let held = Handoff(target)
        relay.keys = [agent.escrow.hold(.relay, relay.number)]
        relay.keys.append(
            agent.escrow.hold(.relayTarget, number) { _ in
                // The keeper has it.
                _ = held.take()
                then()
            })
    }

    /// Goes on with the relays of a predecessor. Which program has each is not known any more.
    func adopt(_ estate: inout Estate) {
        var targets: [EscrowKey: Handoff<Descriptor>] = [:]
        estate.take(.relayTarget) { targets[$0] = Handoff($1) }
        estate.take(.relay) { key, descriptor in
            let targetKey = EscrowKey(key.value + 1)
            guard let target = targets.removeValue(forKey: targetKey)?.take() else { return agent.escrow.release(key) }
            adopt(DatagramSocket(owning: descriptor), DatagramSocket(owning: target), [key, targetKey])
        }
        for key in targets.keys { agent.escrow.release(key) }
    }

    private func adopt(_ socket: consuming DatagramSocket, _ target: consuming DatagramSocket, _ keys: [EscrowKey]) {
        let applicant = Applicant(program: nil, user: geteuid())
        guard let destination = try? target.remoteAddress(), let source = try? target.localAddress().host else {
            return release(keys)
        }
        let natural = try? destination.naturalSource().host
        let application = DatagramRelay.Application(
            user: applicant.user, destination: destination, source: source == natural ? nil : source)
        let handoff = Handoff(socket)
        agent.rules.verdict(on: destination, applicant, .udp) { [self] verdict in
            guard let socket = handoff.take() else { return }
            // The predecessor died while it refused.
            let sender = try? socket.remoteAddress()
            guard sender == nil || sender != (try? socket.localAddress()),
                let relay = try? DatagramRelay(
                    socket, for: application, from: sender, surroundings(application, verdict, applicant), on: loop)
            else { return release(keys) }
            relay.keys = keys
            add(relay)
        }
    }

    private func release(_ keys: [EscrowKey]) {
        for key in keys { agent.escrow.release(key) }
    }

    private func drop(_ relay: DatagramRelay) {
        relay.end()
        relays[relay.address] = nil
        release(relay.keys)
        addresses = addresses.filter { $0.value != relay.address }
    }

    /// Whether the socket at an address is a user's. Nobody else may use a relay, as what it sends is sent as this user.
    private func isOwner(_ user: uid_t, of sender: SocketAddress, sendingTo relay: SocketAddress) -> Bool {
        guard diagnosis != nil else { return true }
        do throws(Errno) {
            return try diagnosis!.datagramOwner(local: sender, remote: relay) == user
        } catch {
            return true
        }
    }

    /// Lets go of relays whose applications have closed their sockets.
    private func tidy() {
        for relay in relays.values where loop.now - relay.lastUse >= Self.quietPeriod {
            relay.tidy()
            if isUnused(relay) { drop(relay) }
        }
    }

    private func isUnused(_ relay: DatagramRelay) -> Bool {
        guard diagnosis != nil, let sender = relay.sender else { return loop.now - relay.lastUse >= Self.unusedPeriod }
        return !isOwner(relay.application.user, of: sender, sendingTo: relay.address)
    }

    private func setTimer() {
        guard timer == nil, !relays.isEmpty else { return }
        timer = loop.schedule(self, at: loop.now + Self.tidyPeriod)
    }
}

extension RelayDesk: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        tidy()
        setTimer()
    }
}
