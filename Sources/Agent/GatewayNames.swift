import Engine
import Interception
import Kernel
import Policy
import SessionProtocol

/// The names that clients of the SOCKS port ask for, as the gateway's resolver has them. On the main loop.
final class GatewayNames {
    enum Answer {
        /// Never empty.
        case found([SocketAddress.Host])
        case failed(ProxyFailure, String)
    }

    /// How long an answer holds, and how many are kept. As of `Resolver`.
    private static let lifetime = Resolver.lifetime
    private static let maximumAnswers = Resolver.maximumAnswers

    private unowned let agent: Agent
    private var answers: [LookupMessage: (hosts: [SocketAddress.Host], until: Instant)] = [:]
    /// Those who wait for the same answer.
    private var waiting: [LookupMessage: [(Answer) -> Void]] = [:]

    init(_ agent: Agent) { self.agent = agent }

    /// Calls `answered` once: at once if the answer is remembered.
    func look(up name: String, port: UInt16, answered: @escaping (Answer) -> Void) {
        guard let gateway = agent.options.gateway, let canonical = ResolvedName.canonical(name),
            let question = LookupMessage(name: canonical, port: port)
        else { return answered(.failed(.unknownName, "\(name) is no name")) }
        if let known = answers[question], known.until > agent.loop.now { return answered(.found(known.hosts)) }
        let isFirst = waiting[question] == nil
        waiting[question, default: []].append(answered)
        guard isFirst else { return }
        let route = agent.rules.route(to: gateway.addresses, named: gateway.name, Verdict(.session))
        do {
            let protection = try agent.protection(of: route)
            GatewayLookup.start(question, through: route, protection, on: agent.loop) { [self] in
                take($0, to: question, from: route)
            }
        } catch {
            tell(.failed(.general, "\(error)"), to: question)
        }
    }

    private func take(_ answer: GatewayLookup.Answer, to question: LookupMessage, from route: GatewayRoute) {
        switch answer {
        case .found(let hosts):
            note(hosts, for: question)
            agent.resolved(ResolvedName(name: question.name, addresses: hosts))
            tell(.found(hosts), to: question)
        // It did not understand what it was asked.
        case .refused(let refusal) where refusal.code == .malformed:
            tell(.failed(.general, "\(route.gatewayName) looks up no names: it is older than this agent"), to: question)
        case .refused(let refusal):
            let failure: ProxyFailure = refusal.code == .hostUnreachable ? .unknownName : ProxyFailure(refusal.code)
            tell(.failed(failure, refusal.text), to: question)
        case .failed(let failure):
            tell(
                .failed(ProxyFailure(unreachable: failure), "\(route.gatewayName) \(failure.explanation)"), to: question
            )
        }
    }

    private func note(_ hosts: [SocketAddress.Host], for question: LookupMessage) {
        if answers.count >= Self.maximumAnswers { answers = answers.filter { $0.value.until > agent.loop.now } }
        if answers.count >= Self.maximumAnswers { answers.removeAll(keepingCapacity: true) }
        answers[question] = (hosts, agent.loop.now + Self.lifetime)
    }

    private func tell(_ answer: Answer, to question: LookupMessage) {
        for answered in waiting.removeValue(forKey: question) ?? [] { answered(answer) }
    }
}
