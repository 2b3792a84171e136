import CLinux
import Engine
import Interception
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
    func associate(
        _ library: consuming ControlConnection, _ asked: AddressBytes, connecting: Bool, _ socket: consuming Descriptor
    ) {
        guard let destination = SocketAddress(asked) else { return }
        let peer = library.peer
        do throws(Errno) {
            let application = try ApplicationSocket(copy: socket, destination: destination)
            let key = Key(cookie: application.cookie, asked: destination)
            if let address = addresses[key], let relay = relays[address], !relay.isBoundToSender {
                if connecting, application.hasAnyPort { relay.keep(application.kept()) }
                return try library.send(.leg(AddressBytes(destination.isMapped ? address.mapped : address)))
            }
            let applicant = Applicant(peer, local: application.chosenSource())
            // What stays on this machine needs no help.
            if destination.isLoopback { return try library.send(.direct) }
            if let obstacle = application.datagramObstacle(network: agent.network) {
                agent.notices.explain("\(applicant.name) to \(destination): datagrams go directly, \(obstacle)")
                return try library.send(.direct)
            }
            decide(library, application, asked, connecting: connecting, applicant)
        } catch {
            agent.notices.explain("? to \(destination): datagrams go directly, \(error)")
            _ = try? library.send(.direct)
        }
    }

    private func decide(
        _ library: consuming ControlConnection, _ application: consuming ApplicationSocket, _ asked: AddressBytes,
        connecting: Bool, _ applicant: Applicant
    ) {
        let destination = application.destination
        var library: ControlConnection? = consume library
        var application: ApplicationSocket? = consume application
        agent.rules.verdict(on: destination, applicant, .udp) { [self] verdict in
            guard let library = library.take(), let application = application.take() else { return }
            var answer = ControlResponse.direct
            switch verdict.treatment {
            case .direct: break
            case .refuse: answer = .refused(ECONNREFUSED)
            case .session, .shim, .shimSources:
                let key = Key(cookie: application.cookie, asked: destination)
                let port = application.port
                let relayed = DatagramRelay.Application(
                    user: applicant.user, asked: asked, destination: destination.unmapped, source: applicant.local)
                if let relay = open(relayed, port: port, verdict, applicant) {
                    addresses[key] = relay.address
                    // Its port is taken for as long as the copy exists.
                    if connecting, application.hasAnyPort { relay.keep(application.kept()) }
                    answer = .leg(AddressBytes(destination.isMapped ? relay.address.mapped : relay.address))
                }
            }
            let by = verdict.origin.map { ", by \($0)" } ?? ""
            let way = if case .leg = answer { "a relay" } else { "\(answer)" }
            agent.notices.explain("\(applicant.name) to \(destination): datagrams, \(way)\(by)")
            _ = try? library.send(answer)
        }
    }

    /// What an application shall see in the place of a relay's address, or of its own local one; nil if that is no relay.
    func name(at relay: AddressBytes, local: Bool) -> AddressBytes? {
        guard let address = SocketAddress(relay), let relay = relays[address.unmapped] else { return nil }
        let application = relay.application
        guard local else { return application.asked }
        guard let natural = application.source ?? application.destination.host.naturalSource else { return nil }
        let name = SocketAddress(host: natural, port: 0)
        return AddressBytes(address.isMapped ? name.mapped : name)
    }

    // MARK: - Relays

    /// Makes a relay; nil if there is no room, or no way to the destination.
    private func open(
        _ application: DatagramRelay.Application, port: UInt16?, _ verdict: Verdict, _ applicant: Applicant
    ) -> DatagramRelay? {
        if relays.count >= Self.maximum { tidy() }
        guard relays.count < Self.maximum else { return nil }
        do throws(Errno) {
            let relay = try relay(application, at: places.socket(like: application.destination), port: port, verdict, applicant)
            relays[relay.address] = relay
            do throws(Errno) {
                try relay.prepare()
            } catch {
                // The application shall have its errno from the kernel.
                drop(relay)
                throw error
            }
            setTimer()
            return relay
        } catch {
            return nil
        }
    }

    private func relay(
        _ application: DatagramRelay.Application, at socket: consuming DatagramSocket, port: UInt16?, _ verdict: Verdict,
        _ applicant: Applicant
    ) throws(Errno) -> DatagramRelay {
        var limits = verdict.attempts
        limits.budget = min(limits.budget, Self.budget)
        let search = DatagramPathSearch(agent, application, verdict)
        // From a socket without an address, the kernel sends to loopback from its first address.
        let local = application.source ?? SocketAddress.loopback(like: application.destination.host, port: 0).host
        return try DatagramRelay(
            socket, for: application, from: port.map { SocketAddress(host: local, port: $0) },
            .init(
                paths: paths, timing: AttemptTiming(limits), find: search.find,
                isApplication: { [unowned self] in isOwner($1.application.user, of: $0, sendingTo: $1.address) },
                explain: { [agent] in agent.notices.explain("\(applicant.name): \($0)") }),
            on: loop)
    }

    private func drop(_ relay: DatagramRelay) {
        relay.end()
        relays[relay.address] = nil
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
