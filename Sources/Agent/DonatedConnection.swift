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
    /// How long a named gateway, or a detected one, is tried.
    private static let openBudget = Interval.seconds(30)
    /// How long the leg may take once the SYN goes on: it does not leave this machine.
    private static let legLimit = Interval.seconds(10)

    /// Where the bytes of the leg go.
    private enum Carrier {
        case session(Agent.Session)
        case server(Handoff<TCPSocket>)
    }

    private enum Stage {
        case routing
        case opening(Agent.Session)
        case dialling(Dial)
        case racing(PathRace)
        case awaitingLeg(Carrier)
        case running
        case over
    }

    private let agent: Agent
    private let source: SocketAddress
    private let destination: SocketAddress
    private let name: String
    private var stage = Stage.routing
    private var route: GatewayRoute?
    /// The donor, as long as it waits.
    private var donor: ControlConnection?
    private var registration: Registration?
    private var escrowKey: EscrowKey?
    private var timer: TimerToken?
    private var lastFailure: LinkFailure?

    /// Answers the donor's question. It lives as long as somebody waits for it or its session does.
    static func handle(
        _ donor: consuming ControlConnection, _ source: AddressBytes, _ destination: AddressBytes, _ process: pid_t,
        _ agent: Agent
    ) {
        guard let source = SocketAddress(source), let destination = SocketAddress(destination) else { return }
        let user = donor.peer.user
        let connection = DonatedConnection(donor, from: source, to: destination, of: process, agent)
        guard connection.watchDonor() else { return }
        connection.begin(for: Applicant(process: process, user: user, local: connection.boundHost))
    }

    private init(
        _ donor: consuming ControlConnection, from source: SocketAddress, to destination: SocketAddress,
        of process: pid_t, _ agent: Agent
    ) {
        self.agent = agent
        self.source = source
        self.destination = destination
        name = ProgramName.of(pid: process) ?? "?"
        self.donor = consume donor
    }

    /// The address that the application has bound, as far as it shows: not the one that its connection would have anyway.
    private var boundHost: SocketAddress.Host? {
        guard let natural = try? destination.naturalSource().host, natural != source.host else { return nil }
        return source.host
    }

    private func watchDonor() -> Bool {
        guard let number = donor?.descriptor.number else { return false }
        registration = try? agent.loop.register(number, self)
        return registration != nil
    }

    private func begin(for applicant: Applicant) {
        agent.route(to: destination, for: applicant) { [self] route in
            // It has gone meanwhile.
            guard case .routing = stage else { return }
            switch route {
            case .direct: dial()
            case .refused(let error): refuse(error)
            case .shim(let verdict): race(PathSearch(verdict, agent.rules))
            case .session(let route): enter(through: route)
            }
        }
    }

    // MARK: - Ordinary peers

    private func dial() {
        agent.notices.explain("\(name) to \(destination): direct")
        do throws(Errno) {
            stage = .dialling(
                try Dial(destination, from: boundHost, on: agent.loop) { [self] dial, error in
                    if let error { return refuse(error) }
                    if let socket = dial.release() { accept(.server(Handoff(socket))) }
                })
        } catch {
            refuse(error)
        }
    }

    private func race(_ search: PathSearch) {
        let race = PathRace(to: destination, search, from: boundHost, history: .notStarted, agent) { [self] outcome in
            switch consume outcome {
            case .connected(let path, let socket):
                if path.destination != destination || path.source != nil {
                    agent.notices.explain("\(name) to \(destination): connected \(path)")
                }
                accept(.server(Handoff(socket)))
            case .failed(let error): refuse(error)
            }
        }
        stage = .racing(race)
        race.begin()
    }

    // MARK: - Sessions

    private func enter(through route: GatewayRoute) {
        agent.admission.admit { [self] shortage in
            guard let shortage else { return open(through: route) }
            agent.notices.warn(
                "\(name) to \(destination): \(shortage.explanation), and no session is suspended; refused")
            refuse(.connectionRefused)
        }
    }

    private func open(through route: GatewayRoute) {
        self.route = route
        do {
            let described = LedgerIdentity.Application(
                source: nil, cookie: 0, isMapped: false, program: name, rule: route.rule)
            let session = try agent.open(to: destination, through: route, described) { [self] in happened($0) }
            stage = .opening(session)
            schedule(after: DonatedConnection.openBudget)
            agent.countConnections(+1)
        } catch {
            agent.admission.leave()
            agent.notices.warn("\(name) to \(destination): \(error)")
            refuse(error as? Errno ?? .noMemory)
        }
    }

    private func happened(_ event: SessionEvent) {
        switch event {
        case .opened:
            guard case .opening(let session) = stage else { return }
            agent.notices.explain("\(name) to \(destination): session \(session.id.hex)")
            accept(.session(session))
        case .linkFailed(let failure): linkFailed(failure)
        case .suspension(let change):
            agent.notice(change, of: "\(name) to \(destination)", through: route?.gatewayName ?? "gateway")
        case .givenUp(let surrender): agent.notice(surrender, of: "\(name) to \(destination)")
        case .ended(let ending): ended(ending)
        case .legClosed: releaseLeg()
        case .finished:
            releaseLeg()
            agent.countConnections(-1)
        }
    }

    private func linkFailed(_ failure: LinkFailure) {
        lastFailure = failure
        guard case .opening(let session) = stage else {
            return agent.notices.explain("\(name) to \(destination): link lost: \(failure.explanation); resuming")
        }
        let remark = agent.openingFailed(through: route)
        // Another try would find the same key.
        if case .security(.untrustedKey) = failure { return session.giveUpOpening() }
        agent.notices.warn(
            "\(route?.gatewayName ?? "gateway"): \(failure.explanation); trying for "
                + "\(DonatedConnection.openBudget.seconds) s\(remark)")
    }

    private func ended(_ ending: Ending) {
        guard case .opening = stage else {
            if let text = ending.explanation { agent.notices.warn("\(name) to \(destination): \(text)") }
            return
        }
        guard case .refused(let refusal) = ending else { return refuse(lastFailure?.errno ?? .connectionRefused) }
        if refusal.code == .notAllowed || refusal.code == .failed || refusal.code == .exhausted {
            agent.notices.warn("\(route?.gatewayName ?? "gateway") refuses \(destination): \(refusal.text)")
        }
        refuse(Errno(refusal.code))
    }

    // MARK: - The verdict

    /// The connection is there: lets the SYN go on.
    private func accept(_ carrier: Carrier) {
        stage = .awaitingLeg(carrier)
        schedule(after: DonatedConnection.legLimit)
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
        case .session(let session): escrowKey = agent.bring(leg, to: session)
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
        case .opening(let session): session.giveUpOpening()
        case .awaitingLeg(let carrier):
            if case .session(let session) = carrier { session.withDriver { driver, _ in driver.abandonLeg() } }
        }
    }

    private func releaseLeg() {
        if let escrowKey { agent.escrow.release(escrowKey) }
        escrowKey = nil
    }

    private func releaseDonor() {
        if let registration { agent.loop.deregister(registration) }
        registration = nil
        donor = nil
    }

    private func schedule(after interval: Interval) {
        cancelTimer()
        timer = agent.loop.schedule(self, at: agent.loop.now + interval)
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
        if case .opening = stage {
            agent.notices.warn(
                "\(name) to \(destination): \(route?.gatewayName ?? "gateway") could not be reached for "
                    + "\(DonatedConnection.openBudget.seconds) s")
            return refuse(lastFailure?.errno ?? .timedOut)
        }
        // The program has closed its socket meanwhile.
        leave()
    }
}
