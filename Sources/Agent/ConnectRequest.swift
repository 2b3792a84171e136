import CLinux
import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// One connect() of an application, from the library's question to the end of its session. On the main loop.
final class ConnectRequest {
    /// How long an application may wait inside connect() for a verdict; after that it gets a held address.
    private static let grace = Interval.milliseconds(200)
    /// How long a named gateway, or a detected one, is tried.
    private static let openBudget = Interval.seconds(30)

    private enum Stage {
        /// The route is looked for.
        case routing
        /// The session is being opened.
        case opening
        /// Open; the application is about to bring its leg.
        case awaitingLeg
        case running
        case over
    }

    private enum Wake {
        case grace
        case budget
        case leg
    }

    private let agent: Agent
    private let loop: EventLoop
    private let asked: AddressBytes
    private let destination: SocketAddress
    private let program: String?
    private var stage = Stage.routing
    /// The library, until it has its answer.
    private var library: ControlConnection?
    private var expected: ExpectedLeg?
    private var session: Agent.Session?
    private var route: GatewayRoute?
    private var held: HeldApplication?
    private var ticket: LegDesk.Ticket?
    private var escrowKey: EscrowKey?
    private var timer: (token: TimerToken, wake: Wake)?
    private var lastFailure: LinkFailure?

    /// Answers a library's question. It lives as long as somebody waits for it or its session does.
    ///
    /// - Parameters:
    ///   - blocks: whether the application waits for its connection.
    ///   - process: the application's.
    static func handle(
        _ library: consuming ControlConnection, _ asked: AddressBytes, blocks: Bool, by process: pid_t,
        _ socket: consuming Descriptor, _ agent: Agent
    ) {
        guard let destination = SocketAddress(asked) else { return }
        let program = ProgramName.of(pid: process)
        do throws(Errno) {
            let application = try ApplicationSocket(copy: socket, destination: destination)
            if let obstacle = application.obstacle(network: agent.network) {
                agent.notices.explain("\(program ?? "?") to \(destination): direct, \(obstacle)")
                try library.send(.direct)
                return
            }
            if let answer = agent.knownSockets.promised(application) {
                _ = consume application
                return try library.send(answer)
            }
            let applicant = Applicant(
                process: process, user: library.peer.user, local: application.boundHost)
            let request = ConnectRequest(library, asked, destination, program, agent)
            request.begin(application, blocks: blocks, for: applicant)
        } catch {
            // Said in words: a library without an answer asks again.
            agent.notices.explain("\(program ?? "?") to \(destination): direct, \(error)")
            _ = try? library.send(.direct)
        }
    }

    private init(
        _ library: consuming ControlConnection?, _ asked: AddressBytes, _ destination: SocketAddress,
        _ program: String?, _ agent: Agent
    ) {
        self.agent = agent
        self.asked = asked
        self.destination = destination
        self.program = program
        loop = agent.loop
        self.library = consume library
    }

    private func begin(
        _ application: consuming ApplicationSocket, blocks: Bool, for applicant: Applicant
    ) {
        var waiting: ApplicationSocket? = consume application
        agent.route(to: destination, for: applicant) { [self] route in
            guard let application = waiting.take() else { return }
            switch route {
            case .direct:
                agent.notices.explain("\(name) to \(destination): direct")
                // Closed before the answer: while a copy exists, the application's close would send no FIN.
                _ = consume application
                answer(.direct)
                stage = .over
            case .shim(let verdict): shim(application, blocks: blocks, PathSearch(verdict, agent.rules))
            case .forbidden: refuse(application, .connectionRefused)
            case .refused(let error): refuse(application, error)
            case .session(let route): enter(through: route, application)
            }
        }
    }

    /// There is no way to the destination, and this is over.
    private func refuse(_ application: consuming ApplicationSocket, _ error: Errno) {
        _ = consume application
        answer(.refused(error.rawValue))
        stage = .over
    }

    /// An ordinary peer: the application tries by itself, and this is over.
    private func shim(_ application: consuming ApplicationSocket, blocks: Bool, _ search: PathSearch) {
        stage = .over
        guard let library = library.take() else { return }
        // Without descriptors for more, the library finds its agent gone, and the application tries alone.
        _ = try? ShimRequest.begin(library, application, blocks: blocks, name, search, agent)
    }

    /// Waits until there is room for one more session.
    private func enter(through route: GatewayRoute, _ application: consuming ApplicationSocket) {
        var waiting: ApplicationSocket? = consume application
        agent.admission.admit { [self] shortage in
            guard let application = waiting.take() else { return }
            guard let shortage else { return open(through: route, application) }
            agent.notices.warn(
                "\(name) to \(destination): \(shortage.explanation), and no session is suspended; refused")
            _ = consume application
            refuse(.connectionRefused)
        }
    }

    private var name: String { program ?? "?" }

    // MARK: - Opening

    private func open(through route: GatewayRoute, _ application: consuming ApplicationSocket) {
        do {
            try open(through: route, try application.prepareLeg())
            schedule(.grace, after: ConnectRequest.grace)
        } catch {
            cannotOpen(through: route, error)
        }
    }

    /// - Parameter key: of the held address where the application waits already.
    private func open(
        through route: GatewayRoute, _ expected: ExpectedLeg, heldUnder key: EscrowKey = EscrowKey(0)
    ) throws {
        self.expected = expected
        stage = .opening
        let described = LedgerIdentity.Application(
            source: expected.source, cookie: expected.cookie, isMapped: destination.isMapped, program: name,
            proof: expected.proof.ledgerValue, rule: route.rule)
        self.route = route
        var opened: SessionID?
        let session = try agent.open(to: destination.unmapped, through: route, leg: key, described) { [self] event in
            if opened == self.session?.id { return happened(event) }
            // An earlier one, which another has followed.
            if case .finished = event, let opened { agent.sessionFinished(opened) }
        }
        opened = session.id
        self.session = session
        agent.countConnections(+1)
    }

    /// The gateway had connected to the target, and no word of this end confirmed that in time: its path was silent, or this
    /// process stopped. The application waits, and knows nothing of it.
    private func openAgain() {
        guard let expected, let route, let key = held?.key else { return refuse(.connectionRefused) }
        openHeld(through: route, expected, key)
    }

    /// Opens a session for an application that waits, whatever the limits say: it was let in before.
    private func openHeld(through route: GatewayRoute, _ expected: ExpectedLeg, _ key: EscrowKey) {
        agent.admission.takeOver()
        do {
            try open(through: route, expected, heldUnder: key)
        } catch {
            agent.admission.leave()
            agent.notices.warn("\(name) to \(destination): \(error)")
            refuse(.connectionRefused)
        }
    }

    /// Goes on for an application that a predecessor of this agent has left at a held address: with another session, since
    /// it had not been told that there is one.
    static func goOn(
        _ application: LedgerIdentity.Application, _ destination: SocketAddress, through route: GatewayRoute,
        at held: HeldApplication, heldUnder key: EscrowKey, _ agent: Agent
    ) {
        guard let source = application.source else { return held.end() }
        let asked = application.isMapped ? destination.mapped : destination
        let request = ConnectRequest(nil, AddressBytes(asked), asked, application.program, agent)
        let expected = ExpectedLeg(
            source: source, destination: asked, cookie: application.cookie,
            proof: LegProof(ledgerValue: application.proof))
        request.held = held
        agent.knownSockets.promise(
            .held(AddressBytes(expected.spelling(of: held.address))), to: expected, by: request)
        request.schedule(.budget, after: openBudget)
        request.openHeld(through: route, expected, key)
    }

    /// Only a gateway that was found, not one that was named, may be passed by, and never without a word.
    private func cannotOpen(through route: GatewayRoute, _ error: any Error) {
        agent.admission.leave()
        stage = .over
        if route.name != nil {
            agent.notices.warn("\(name) to \(destination): \(error)")
            answer(.refused((error as? Errno ?? .noMemory).rawValue))
        } else {
            agent.notices.warn("\(name) to \(destination): \(error); connected directly")
            answer(.direct)
        }
    }

    private func happened(_ event: SessionEvent) {
        switch event {
        case .opened: opened()
        case .linkFailed(let failure): linkFailed(failure)
        case .suspension(let change): agent.notice(change, of: "\(name) to \(destination)", through: gatewayName)
        case .givenUp(let surrender): agent.notice(surrender, of: "\(name) to \(destination)")
        case .ended(let ending): ended(ending)
        case .legClosed: releaseLeg()
        case .finished: finished()
        }
    }

    private func opened() {
        guard case .opening = stage, let expected else { return }
        agent.notices.explain("\(name) to \(destination): session \(session?.id.hex ?? "?")")
        agent.knownSockets.remember(
            expected.cookie, SocketNames(peer: asked, local: AddressBytes(expected.localName)), by: self)
        stage = .awaitingLeg
        schedule(.leg, after: expected.legLimit)
        if let held {
            return held.release(expected) { [self] leg, key in
                arrived(leg, key)
            } failed: { [self] in
                fail($0)
            }
        }
        do throws(Errno) {
            let ticket = try agent.desk.expect(expected) { [self] leg, key in arrived(leg, key) }
            self.ticket = ticket
            answer(.leg(AddressBytes(expected.spelling(of: ticket.address))))
        } catch {
            fail(error)
        }
    }

    /// The application's connection is here: into escrow, then to its session.
    private func arrived(_ leg: consuming Leg, _ key: EscrowKey? = nil) {
        guard case .awaitingLeg = stage, let session else {
            if let key { agent.escrow.release(key) }
            return
        }
        stage = .running
        cancelTimer()
        endWaiting()
        escrowKey = agent.bring(leg, key, to: session)
    }

    private func endWaiting() {
        held?.end()
        held = nil
        if let expected { agent.knownSockets.forgetPromise(to: expected.cookie, by: self) }
    }

    // MARK: - Failing

    private func linkFailed(_ failure: LinkFailure) {
        lastFailure = failure
        guard case .opening = stage else {
            return agent.notices.explain("\(name) to \(destination): link lost: \(failure.explanation); resuming")
        }
        let remark = agent.openingFailed(through: route)
        // Another try would find the same key.
        if case .security(.untrustedKey) = failure { return session?.giveUpOpening() ?? () }
        agent.notices.warn(
            "\(gatewayName): \(failure.explanation); trying for \(ConnectRequest.openBudget.seconds) s"
                + remark)
    }

    private var gatewayName: String { route?.gatewayName ?? "gateway" }

    private func ended(_ ending: Ending) {
        switch stage {
        case .routing, .over: return
        case .opening:
            switch ending {
            case .refused(let refusal):
                if refusal.code == .notAllowed || refusal.code == .failed || refusal.code == .exhausted {
                    agent.notices.warn("\(gatewayName) refuses \(destination): \(refusal.text)")
                }
                refuse(Errno(refusal.code))
            case .gone(.expired): openAgain()
            case .finished, .abortedHere, .abortedByPeer, .gone, .expired, .unconfirmed, .violation, .dropped:
                refuse(lastFailure?.errno ?? .connectionRefused)
            }
        case .awaitingLeg, .running:
            if ending.isFailure, let session { agent.noteFailure(session.id) }
            if let text = ending.explanation { agent.notices.warn("\(name) to \(destination): \(text)") }
        }
    }

    private func refuse(_ error: Errno) {
        agent.notices.explain("\(name) to \(destination): \(error)")
        stage = .over
        if error == .connectionRefused, let expected,
            let nobody = try? agent.desk.refusingAddress(family: expected.family)
        {
            answer(.leg(AddressBytes(expected.spelling(of: nobody))))
        } else {
            answer(.refused(error.rawValue))
        }
        endWaiting()
    }

    private func fail(_ error: Errno) {
        agent.notices.warn("\(name) to \(destination): \(error)")
        refuse(error)
        session?.withDriver { driver, _ in driver.abandonLeg() }
    }

    private func finished() {
        cancelTimer()
        endWaiting()
        // Still there if the leg came when the session was gone already.
        releaseLeg()
        if let ticket { agent.desk.giveBack(ticket) }
        if let expected { agent.knownSockets.forget(expected.cookie, by: self) }
        stage = .over
        if let session { agent.sessionFinished(session.id) }
    }

    private func releaseLeg() {
        if let escrowKey { agent.escrow.release(escrowKey) }
        escrowKey = nil
    }

    // MARK: - The library and the clock

    private func answer(_ response: ControlResponse) {
        guard let library = library.take() else { return }
        // A library that has gone, with its program, needs no answer.
        _ = try? library.send(response)
    }

    private func schedule(_ wake: Wake, after interval: Interval) {
        cancelTimer()
        timer = (loop.schedule(self, at: loop.now + interval), wake)
    }

    private func cancelTimer() {
        if let timer { loop.cancel(timer.token) }
        timer = nil
    }

    /// No verdict within the grace time: the application goes on to a held address.
    private func hold() {
        guard let expected else { return }
        do throws(Errno) {
            let held = try HeldApplication(family: expected.family, agent)
            self.held = held
            held.secure { [self] key in
                note(key) { [self] in answer(.held(AddressBytes(expected.spelling(of: held.address)))) }
            }
        } catch {
            fail(error)
        }
    }

    /// Has the ledger say where the application is held. If the session has ended by then, it is refused instead.
    private func note(_ key: EscrowKey, then: @escaping () -> Void) {
        let (main, continuation) = (loop.mailbox, LoopBound(then, on: loop))
        session?.withDriver { driver, _ in
            driver.legIsHeld(escrowKey: key.value)
            main.post { continuation.on($0)() }
        }
    }
}

extension ConnectRequest: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        guard let wake = timer?.wake else { return }
        timer = nil
        switch (wake, stage) {
        case (.grace, .opening):
            hold()
            if case .opening = stage { schedule(.budget, after: ConnectRequest.openBudget) }
        case (.budget, .opening): session?.giveUpOpening()
        case (.leg, .awaitingLeg):
            stage = .over
            endWaiting()
            session?.withDriver { driver, _ in driver.abandonLeg() }
        case (.grace, _), (.budget, _), (.leg, _): break
        }
    }
}
