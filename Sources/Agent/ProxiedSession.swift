import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// A session that a client of the SOCKS port waits for, and then has. On the main loop.
final class ProxiedSession {
    /// How long a gateway is tried.
    private static let openBudget = Interval.seconds(30)

    enum Outcome {
        case opened
        case failed(ProxyFailure, String)
    }

    private let agent: Agent
    private let destination: SocketAddress
    private let route: GatewayRoute
    /// Of the client's connection: its copy in escrow, once that is this object's to release.
    private var escrowKey: EscrowKey?
    private var session: Agent.Session?
    private var budget: TimerToken?
    private var lastFailure: LinkFailure?
    /// Nil when it has been called, or nobody waits any more.
    private var decided: ((Outcome) -> Void)?

    /// - Parameter decided: called once, unless it is given up before; maybe before what opens it returns.
    init(
        to destination: SocketAddress, through route: GatewayRoute, _ agent: Agent, decided: @escaping (Outcome) -> Void
    ) {
        self.destination = destination
        self.route = route
        self.agent = agent
        self.decided = decided
    }

    /// Opens it, once there is room for one more.
    ///
    /// - Parameter key: of the client's connection in escrow, so that a successor of this process finds it.
    func open(heldUnder key: EscrowKey) {
        agent.admission.admit { [self] shortage in
            guard let shortage else { return begin(key) }
            decide(.failed(.general, "\(shortage.explanation), and no session is suspended"))
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
            source: nil, cookie: 0, isMapped: false, program: Applicant.socksName, rule: route.rule)
        do {
            session = try agent.open(to: destination, through: route, leg: key, described) { [self] in happened($0) }
            budget = agent.loop.schedule(self, at: agent.loop.now + Self.openBudget)
            agent.countConnections(+1)
        } catch {
            agent.admission.leave()
            decide(.failed((error as? Errno).map { ProxyFailure($0) } ?? .general, "\(error)"))
        }
    }

    private func decide(_ outcome: Outcome) {
        cancelBudget()
        decided.take()?(outcome)
    }

    /// The client has heard that it is connected: its connection is the session's now, and so is its copy in escrow.
    func bring(_ leg: consuming TCPSocket, _ key: EscrowKey) {
        escrowKey = key
        session?.bring(Handoff(leg), key)
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
        case .opened: decide(.opened)
        case .linkFailed(let failure): linkFailed(failure)
        case .suspension(let change): agent.notice(change, of: name, through: route.gatewayName)
        case .givenUp(let surrender): agent.notice(surrender, of: name)
        case .ended(let ending): ended(ending)
        case .legClosed: releaseLeg()
        case .finished:
            cancelBudget()
            releaseLeg()
            if let session { agent.sessionFinished(session.id) }
        }
    }

    private var name: String { "\(Applicant.socksName) to \(destination)" }

    private func linkFailed(_ failure: LinkFailure) {
        lastFailure = failure
        // Once it is open, a pause is worth a line only if it lasts.
        guard decided != nil else { return }
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
        case .refused(let refusal): decide(.failed(ProxyFailure(refusal.code), refusal.text))
        case .finished, .abortedHere, .abortedByPeer, .gone, .expired, .unconfirmed, .violation, .dropped:
            let reason = lastFailure?.explanation ?? "gave no answer"
            decide(.failed(ProxyFailure(unreachable: lastFailure), "\(route.gatewayName) \(reason)"))
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

extension ProxiedSession: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        budget = nil
        session?.giveUpOpening()
    }
}

extension ProxyFailure {
    /// What a client hears whose gateway could not be reached, as its last link has failed.
    init(unreachable failure: LinkFailure?) {
        switch failure {
        case .handshakeTimeout, .silent, nil: self = .timedOut
        case .socket(let code) where code == Errno.timedOut.rawValue: self = .timedOut
        case .closed, .socket, .frame, .unproven, .staleEpoch, .otherInstance, .security: self = .hostUnreachable
        }
    }

    /// What a gateway refused a session with.
    init(_ code: RefusedMessage.Code) {
        switch code {
        case .connectionRefused: self = .refused
        case .networkUnreachable: self = .networkUnreachable
        case .hostUnreachable: self = .hostUnreachable
        case .timedOut: self = .timedOut
        case .notAllowed: self = .notAllowed
        case .exhausted, .malformed, .identifierInUse, .failed: self = .general
        }
    }
}
