import CLinux
import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// The connection of a donated socket, whose SYN is held until there is a verdict: it is connected when its session is open or
/// its server has accepted, and fails as they do. On the main loop.
final class DonatedConnection {
    /// How long the leg may take once the SYN goes on: it does not leave this machine.
    private static let legLimit = Interval.seconds(10)

    /// Where the bytes of the leg go.
    private enum Carrier {
        case session(AwaitedSession)
        case server(Handoff<TCPSocket>)
        /// To a server that has accepted, and has reset the connection since.
        case nowhere
    }

    private enum Stage {
        case routing
        case opening(AwaitedSession)
        case dialling(Dial)
        case racing(PathRace)
        case awaitingLeg(Carrier)
        case running
        case over
    }

    private let agent: Agent
    private let source: SocketAddress
    private let destination: SocketAddress
    private let applicant: Applicant
    private var stage = Stage.routing
    /// The donor, as long as it waits.
    private var donor: ControlConnection?
    private var registration: Registration?
    private var timer: TimerToken?

    /// Answers the donor's question. It lives as long as somebody waits for it or its session does.
    static func handle(
        _ donor: consuming ControlConnection, _ source: AddressBytes, _ destination: AddressBytes, _ process: pid_t,
        _ agent: Agent
    ) {
        guard let source = SocketAddress(source), let destination = SocketAddress(destination) else { return }
        let user = donor.peer.user
        // As far as it shows.
        let applicant = Applicant(process: process, user: user, local: source.isWildcard ? nil : source.host)
        let connection = DonatedConnection(donor, from: source, to: destination, applicant, agent)
        guard connection.watchDonor() else { return }
        connection.begin()
    }

    private init(
        _ donor: consuming ControlConnection, from source: SocketAddress, to destination: SocketAddress,
        _ applicant: Applicant, _ agent: Agent
    ) {
        self.agent = agent
        self.source = source
        self.destination = destination
        self.applicant = applicant
        self.donor = consume donor
    }

    private var name: String { applicant.name }

    private func watchDonor() -> Bool {
        guard let number = donor?.descriptor.number else { return false }
        registration = try? agent.loop.register(number, self)
        return registration != nil
    }

    private func begin() {
        agent.route(to: destination, for: applicant) { [self] route in
            // It has gone meanwhile.
            guard case .routing = stage else { return }
            switch route {
            case .direct: dial()
            case .forbidden: refuse(.connectionRefused)
            case .refused(let error): refuse(error)
            case .shim(let verdict): race(PathSearch(verdict, agent.rules))
            case .session(let route): open(through: route)
            }
        }
    }

    // MARK: - Ordinary peers

    private func dial() {
        agent.notices.explain("\(name) to \(destination): direct")
        do throws(Errno) {
            stage = .dialling(
                try Dial(destination, from: applicant.local, profile: .relayed(to: destination), on: agent.loop) {
                    [self] dial, error in
                    if let error { return failed(error) }
                    if let socket = dial.release() { accept(.server(Handoff(socket))) }
                })
        } catch {
            refuse(error)
        }
    }

    private func race(_ search: PathSearch) {
        let race = PathRace(to: destination, search, from: applicant.local, history: .notStarted, agent) {
            [self] outcome in
            switch consume outcome {
            case .connected(let path, let socket):
                if path.destination != destination || path.source != nil {
                    agent.notices.explain("\(name) to \(destination): connected \(path)")
                }
                accept(.server(Handoff(socket)))
            case .failed(let error): failed(error)
            }
        }
        stage = .racing(race)
        race.begin()
    }

    private func failed(_ error: Errno) {
        // Who is refused is told so: a reset comes behind a connection (RFC 9293, 3.5.3), and so it shall here.
        if error == .connectionReset { accept(.nowhere) } else { refuse(error) }
    }

    // MARK: - Sessions

    private func open(through route: GatewayRoute) {
        let session = AwaitedSession(for: name, to: destination, through: route, agent) { [self] outcome in
            guard case .opening(let session) = stage else { return }
            switch outcome {
            case .opened: accept(.session(session))
            case .failed(let failure):
                if failure.isGateways {
                    agent.notices.warn("\(name) to \(destination): \(failure.explanation(route.gatewayName))")
                }
                refuse(failure.errno)
            }
        }
        stage = .opening(session)
        session.open()
    }

    // MARK: - The verdict

    /// The connection is there: lets the SYN go on.
    private func accept(_ carrier: Carrier) {
        stage = .awaitingLeg(carrier)
        timer = agent.loop.schedule(self, at: agent.loop.now + DonatedConnection.legLimit)
        _ = try? donor?.send(.accepted)
    }

    private func refuse(_ error: Errno) {
        agent.notices.explain("\(name) to \(destination): \(error)")
        _ = try? donor?.send(.refused(error.rawValue))
        leave()
    }

    private func arrived(_ leg: consuming Descriptor) {
        guard case .awaitingLeg(let carrier) = stage else { return }
        stage = .running
        cancelTimer()
        releaseDonor()
        let leg = Leg(descriptor: leg, application: source)
        switch carrier {
        case .session(let session): session.bring(leg)
        case .nowhere: _ = try? TCPSocket(owning: leg.intoDescriptor()).abort()
        case .server(let socket):
            guard let socket = socket.take() else { return }
            agent.countConnections(+1)
            PlainRelay.join(TCPSocket(owning: leg.intoDescriptor()), with: socket, on: agent.loop) { [agent] in
                agent.countConnections(-1)
            }
        }
    }

    /// Nobody wants the connection any more, or nobody can have it.
    private func leave() {
        cancelTimer()
        releaseDonor()
        defer { stage = .over }
        switch stage {
        case .routing, .running, .over: break
        case .dialling(let dial): dial.release()
        case .racing(let race): race.cancel()
        case .opening(let session): session.giveUp()
        case .awaitingLeg(let carrier):
            if case .session(let session) = carrier { session.giveUp() }
        }
    }

    private func releaseDonor() {
        if let registration { agent.loop.deregister(registration) }
        registration = nil
        donor = nil
    }

    private func cancelTimer() {
        if let timer { agent.loop.cancel(timer) }
        timer = nil
    }
}

extension DonatedConnection: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        switch (try? donor?.receive()) ?? .end {
        case .nothing: return
        case .request(.leg, socket: .some(let leg)): arrived(leg)
        case .request: leave()
        case .malformed: leave()
        case .end: leave()
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        // The program has closed its socket meanwhile.
        leave()
    }
}
