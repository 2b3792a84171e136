import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// A session that somebody waits for who can still be told anything: a client of the SOCKS port, or a donated socket whose SYN is
/// held. On the main loop.
final class AwaitedSession {
    /// How long a gateway is tried.
    private static let openBudget = Interval.seconds(30)

    enum Outcome {
        case opened
        case failed(Failure)
    }

    /// Why there is none.
    enum Failure {
        case refused(RefusedMessage)
        /// With what has become of the last link.
        case unreachable(LinkFailure?)
        /// The limits of this process, or the kernel's.
        case impossible(any Error)
    }

    private let agent: Agent
    private let program: String
    private let destination: SocketAddress
    private let route: GatewayRoute
    /// Of the client's connection: its copy in escrow, once that is this object's to release.
    private var escrowKey: EscrowKey?
    private var session: Agent.Session?
    private var budget: TimerToken?
    private var lastFailure: LinkFailure?
    /// Nil when it has been called, or nobody waits any more.
    private var decided: ((Outcome) -> Void)?
    /// Nothing more is heard of the session.
    private var isOver = false

    /// - Parameters:
    ///   - program: who waits.
    ///   - decided: called once, unless it is given up before; maybe before what opens it returns.
    init(
        for program: String, to destination: SocketAddress, through route: GatewayRoute, _ agent: Agent,
        decided: @escaping (Outcome) -> Void
    ) {
        self.program = program
        self.destination = destination
        self.route = route
        self.agent = agent
        self.decided = decided
    }

    /// Opens it, once there is room for one more.
    ///
    /// - Parameter key: of the client's connection in escrow, so that a successor of this process finds it; if it is there already.
    func open(heldUnder key: EscrowKey = EscrowKey(0)) {
        agent.admission.admit { [self] shortage in
            guard let shortage else { return begin(key) }
            decide(.failed(.impossible(NoRoom(shortage: shortage))))
        }
    }

    /// Opens it for a client whose agent has died before its own was open. It was let in before.
    func openAgain(heldUnder key: EscrowKey) {
        agent.admission.takeOver()
        begin(key)
    }

    private func begin(_ key: EscrowKey) {
        guard decided != nil else { return agent.admission.leave() }
        let described = LedgerIdentity.Application(
            source: nil, cookie: 0, isMapped: false, program: program, rule: route.rule)
        do {
            session = try agent.open(to: destination, through: route, leg: key, described) { [self] in happened($0) }
            budget = agent.loop.schedule(self, at: agent.loop.now + Self.openBudget)
            agent.countConnections(+1)
        } catch {
            agent.admission.leave()
            decide(.failed(.impossible(error)))
        }
    }

    private func decide(_ outcome: Outcome) {
        cancelBudget()
        decided.take()?(outcome)
    }

    /// The client has heard that it is connected: its connection is the session's now, and so is its copy in escrow.
    func bring(_ leg: consuming TCPSocket, _ key: EscrowKey) {
        guard !isOver else {
            _ = try? leg.abort()
            return agent.escrow.release(key)
        }
        escrowKey = key
        session?.bring(Handoff(leg), key)
    }

    /// The same for a connection of which no copy is in escrow yet.
    func bring(_ leg: consuming Leg) {
        guard !isOver, let session else {
            // A server that resets at once: nobody would take its copy out of escrow again.
            _ = try? TCPSocket(owning: leg.intoDescriptor()).abort()
            return
        }
        escrowKey = agent.bring(leg, to: session)
    }

    /// The client has gone.
    func giveUp() {
        decided = nil
        cancelBudget()
        session?.withDriver { driver, _ in
            if driver.session.isOpen { driver.abandonLeg() } else { driver.drop(saying: .ending) }
        }
    }

    private func happened(_ event: SessionEvent) {
        switch event {
        case .opened:
            agent.notices.explain("\(name): session \(session?.id.hex ?? "?")")
            decide(.opened)
        case .linkFailed(let failure): linkFailed(failure)
        case .suspension(let change): agent.notice(change, of: name, through: route.gatewayName)
        case .givenUp(let surrender): agent.notice(surrender, of: name)
        case .ended(let ending): ended(ending)
        case .legClosed: releaseLeg()
        case .finished:
            isOver = true
            cancelBudget()
            releaseLeg()
            if let session { agent.sessionFinished(session.id) }
        }
    }

    private var name: String { "\(program) to \(destination)" }

    private func linkFailed(_ failure: LinkFailure) {
        lastFailure = failure
        // Once it is open, a pause is worth a line only if it lasts.
        guard decided != nil else {
            return agent.notices.explain("\(name): link lost: \(failure.explanation); resuming")
        }
        let remark = agent.openingFailed(through: route)
        // Another try would find the same key.
        if case .security(.untrustedKey) = failure { return session?.giveUpOpening() ?? () }
        agent.notices.warn("\(route.gatewayName): \(failure.explanation); trying again\(remark)")
    }

    private func ended(_ ending: Ending) {
        guard decided != nil else {
            if let text = ending.explanation { agent.notices.warn("\(name): \(text)") }
            return
        }
        switch ending {
        case .refused(let refusal): decide(.failed(.refused(refusal)))
        case .finished, .abortedHere, .abortedByPeer, .gone, .expired, .unconfirmed, .violation, .dropped:
            decide(.failed(.unreachable(lastFailure)))
        }
    }

    private func releaseLeg() {
        if let escrowKey { agent.escrow.release(escrowKey) }
        escrowKey = nil
    }

    private func cancelBudget() {
        if let budget { agent.loop.cancel(budget) }
        budget = nil
    }
}

extension AwaitedSession: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        budget = nil
        session?.giveUpOpening()
    }
}

/// There is no room for another session.
private struct NoRoom: Error, CustomStringConvertible {
    let shortage: Shortage

    var description: String { "\(shortage.explanation), and no session is suspended" }
}

extension AwaitedSession.Failure {
    /// For people.
    ///
    /// - Parameter gateway: its name.
    func explanation(_ gateway: String) -> String {
        switch self {
        case .refused(let refusal): refusal.text
        case .unreachable(let failure): "\(gateway) \(failure?.explanation ?? "gave no answer")"
        case .impossible(let error): "\(error)"
        }
    }

    /// Whether the target has no part in it, so that people must know.
    var isGateways: Bool {
        switch self {
        case .refused(let refusal): [.notAllowed, .failed, .exhausted].contains(refusal.code)
        case .unreachable, .impossible: true
        }
    }

    /// What connect(2) says.
    var errno: Errno {
        switch self {
        case .refused(let refusal): Errno(refusal.code)
        case .unreachable(let failure): failure?.errno ?? .connectionRefused
        case .impossible(let error): error as? Errno ?? .connectionRefused
        }
    }
}
