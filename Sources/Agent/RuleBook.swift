import CLinux
import Engine
import Interception
import Keeper
import Kernel
import Policy
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// What the rules say about each connection, and what the command line says instead. On the main loop.
final class RuleBook {
    private let options: AgentOptions
    private let alternates: AlternateAddresses
    private let resolver: Resolver
    private var users = UserNames()
    private(set) var configuration: Configuration
    /// Where named gateways were when somebody last knew: what is running must not wait for a resolver that is cut off itself.
    private var gateways: [HostPort: [SocketAddress]] = [:]
    private lazy var hasMultipath = LinkTransport.mptcp.isAvailable

    init(_ options: AgentOptions, _ alternates: AlternateAddresses, _ resolver: Resolver) {
        self.options = options
        self.alternates = alternates
        self.resolver = resolver
        configuration = options.configuration
    }

    /// From now on, these rules count.
    func replace(_ configuration: Configuration) { self.configuration = configuration }

    // MARK: - Verdicts

    /// Finds what a connection, or a datagram, gets; calls `decided` at once if no name has to be resolved for that, else when it is.
    func verdict(
        on destination: SocketAddress, _ applicant: Applicant, _ transport: ConnectionFacts.ConnectionProtocol = .tcp,
        decided: @escaping (Verdict) -> Void
    ) {
        var facts = facts(destination, applicant)
        facts.connectionProtocol = transport
        // The program has resolved a name, and so this is the one that it means.
        let unknown = facts.names.isEmpty ? configuration.decisiveNames(facts) : []
        guard !unknown.isEmpty else { return decided(overridden(configuration.decide(facts))) }
        var missing = unknown.count
        for name in unknown {
            resolver.forward(name) { [self] hosts in
                if hosts.contains(destination.unmapped.host) { facts.names.append(name) }
                missing -= 1
                if missing == 0 { decided(overridden(configuration.decide(facts))) }
            }
        }
    }

    /// Whether datagrams to this port may concern USL, as programs are told that it starts: options of the command line say what becomes
    /// of those, not which they are.
    func concernsDatagrams(to port: UInt16) -> Bool { configuration.datagramPorts.contains { $0.contains(port) } }

    private func facts(_ destination: SocketAddress, _ applicant: Applicant) -> ConnectionFacts {
        let natural = configuration.asksForLocalAddresses ? try? destination.unmapped.naturalSource().host : nil
        return applicant.facts(
            destination, names: alternates.names(of: destination.host),
            userName: configuration.asksForUserNames ? users.name(of: applicant.user) : nil,
            local: applicant.local ?? natural)
    }

    /// Without what the command line says instead. What is refused stays refused.
    private func overridden(_ verdict: Verdict) -> Verdict {
        var verdict = verdict
        if let treatment = options.treatment, verdict.treatment != .refuse { verdict.treatment = treatment }
        if let detection = options.detection { verdict.detection = detection }
        if options.gateway != nil { verdict.gateway = nil }
        if options.pin != nil { verdict.pin = nil }
        if options.mode != nil { verdict.links = nil }
        if options.sources != nil { verdict.sources = nil }
        if options.transport != nil { verdict.transport = nil }
        if options.suspend != nil { verdict.suspend = nil }
        return verdict
    }

    // MARK: - Gateways

    /// Finds the addresses of a named gateway; none if nobody knows them, or has ever known.
    func addresses(of gateway: HostPort, found: @escaping ([SocketAddress]) -> Void) {
        if let numeric = SocketAddress.Host(numeric: gateway.host) {
            return found([SocketAddress(host: numeric, port: gateway.port)])
        }
        resolver.forward(gateway.host) { [self] hosts in
            if !hosts.isEmpty { gateways[gateway] = hosts.map { SocketAddress(host: $0, port: gateway.port) } }
            found(gateways[gateway] ?? [])
        }
    }

    /// The way to a gateway.
    ///
    /// - Parameters:
    ///   - addresses: never empty. Those come first that are of the family of a source.
    ///   - name: nil if it was found at the destination.
    func route(to addresses: [SocketAddress], named name: HostPort?, _ verdict: Verdict) -> GatewayRoute {
        let sources = sources(verdict)
        let suitable = addresses.filter { address in sources.contains { $0.suits(address) } }
        return GatewayRoute(
            name: name, addresses: suitable + addresses.filter { !suitable.contains($0) }, sources: sources,
            mode: options.mode ?? verdict.links.map { LinkMode($0) } ?? .failover, transport: transport(verdict),
            pin: options.pin ?? verdict.pin.flatMap { Fingerprint($0) },
            suspendLimit: Interval(options.suspend ?? verdict.suspend ?? configuration.limits.suspend),
            rule: verdict.mark)
    }

    /// Where links and attempts begin.
    func sources(_ verdict: Verdict) -> [LinkSource] {
        options.sources ?? verdict.sources?.compactMap { LinkSource($0) } ?? [.anywhere]
    }

    /// What carries them, as far as this kernel has it.
    func transport(_ verdict: Verdict) -> LinkTransport {
        let wanted = options.transport ?? verdict.transport.map { LinkTransport($0) } ?? .tcp
        return wanted == .mptcp && !hasMultipath ? .tcp : wanted
    }

    // MARK: - Sessions of a predecessor

    /// How links of a session are made that a predecessor has begun; nil if the rule is gone that said which gateway is the
    /// right one.
    func route(of identity: LedgerIdentity) -> GatewayRoute? {
        let mark = if case .application(let application) = identity.details { application.rule } else { UInt32(0) }
        let rules = mark == 0 ? [] : configuration.rules.map { overridden($0.verdict) }
        let rule = rules.first { $0.mark == mark }
        if rule == nil, Verdict.namesGateway(mark: mark) { return nil }
        let verdict = rule ?? Verdict(.session)
        let known = options.gateway?.addresses ?? verdict.gateway.flatMap { gateways[$0.hostPort] } ?? []
        return route(
            to: [identity.peer] + known.filter { $0 != identity.peer },
            named: options.gateway?.name ?? verdict.gateway?.hostPort, verdict)
    }
}
