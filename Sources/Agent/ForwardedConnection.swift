import Engine
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import Transport

/// One accepted connection of `usl forward`, on its way through a session. On the main loop.
final class ForwardedConnection {
    /// How long a session is tried to be opened. The program is connected already: then its connection is reset.
    private static let openBudget = Interval.seconds(30)

    private let agent: Agent
    private let target: SocketAddress
    private let route: GatewayRoute
    /// The leg's copy in escrow, until it is released.
    private var escrowKey: EscrowKey?
    private var session: Agent.Session?
    private var budget: TimerToken?

    /// Opens a session for a leg, once there is room for it.
    static func enter(
        _ leg: consuming TCPSocket, escrowKey: EscrowKey, to target: SocketAddress, through route: GatewayRoute,
        _ agent: Agent
    ) {
        var waiting: TCPSocket? = consume leg
        agent.admission.admit { shortage in
            guard let leg = waiting.take() else { return }
            guard let shortage else {
                return begin(leg, escrowKey: escrowKey, to: target, through: route, agent)
            }
            agent.notices.warn(
                "\(target): \(shortage.explanation), and no session is suspended; the connection is reset")
            _ = try? leg.abort()
            agent.escrow.release(escrowKey)
        }
    }

    /// Opens another session for a leg of a predecessor, which had not opened its own yet.
    static func goOn(
        _ leg: consuming TCPSocket, escrowKey: EscrowKey, to target: SocketAddress, through route: GatewayRoute,
        _ agent: Agent
    ) {
        agent.admission.takeOver()
        begin(leg, escrowKey: escrowKey, to: target, through: route, agent)
    }

    /// It lives as long as the session tells it what happens.
    private static func begin(
        _ leg: consuming TCPSocket, escrowKey: EscrowKey, to target: SocketAddress, through route: GatewayRoute,
        _ agent: Agent
    ) {
        let connection = ForwardedConnection(escrowKey, target, route, agent)
        let handoff = Handoff(leg)
        do {
            let described = LedgerIdentity.Application(
                source: nil, cookie: 0, isMapped: false, program: Applicant.forwardName, rule: route.rule)
            let session = try agent.open(to: target, through: route, leg: escrowKey, described) { event in
                connection.happened(event)
            }
            connection.session = session
            connection.budget = agent.loop.schedule(connection, at: agent.loop.now + openBudget)
            agent.countConnections(+1)
            session.bring(handoff, escrowKey)
        } catch {
            agent.admission.leave()
            agent.notices.warn("\(target): \(error); the connection is reset")
            connection.releaseLeg()
        }
    }

    private init(_ escrowKey: EscrowKey, _ target: SocketAddress, _ route: GatewayRoute, _ agent: Agent) {
        self.escrowKey = escrowKey
        self.target = target
        self.route = route
        self.agent = agent
    }

    private func happened(_ event: SessionEvent) {
        switch event {
        case .opened: cancelBudget()
        case .linkFailed(let failure):
            // Once it is open, a pause is worth a line only if it lasts.
            guard budget != nil else { break }
            let remark = agent.openingFailed(through: route)
            agent.notices.warn("\(gatewayName): \(failure.explanation); trying again\(remark)")
        case .suspension(let change): agent.notice(change, of: "forward to \(target)", through: gatewayName)
        case .givenUp(let surrender): agent.notice(surrender, of: "\(target)")
        case .ended(.refused(let refusal)): agent.notices.warn("\(target): \(refusal.text)")
        case .ended(let ending):
            if let text = ending.explanation { agent.notices.warn("\(target): \(text)") }
        case .legClosed: releaseLeg()
        case .finished:
            cancelBudget()
            releaseLeg()
            agent.countConnections(-1)
        }
    }

    private var gatewayName: String { route.gatewayName }

    private func releaseLeg() {
        if let escrowKey { agent.escrow.release(escrowKey) }
        escrowKey = nil
    }

    private func cancelBudget() {
        if let budget { agent.loop.cancel(budget) }
        budget = nil
    }
}

extension ForwardedConnection: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        budget = nil
        agent.notices.warn(
            "\(target): \(gatewayName) could not be reached for \(ForwardedConnection.openBudget.seconds) s; the connection is reset"
        )
        session?.giveUpOpening()
    }
}
