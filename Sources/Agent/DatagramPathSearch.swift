import Kernel
import Policy
import Rendezvous
import SessionHost
import Transport

/// Looks for paths on which requests can go when the asked one is silent.
final class DatagramPathSearch {
    private unowned let agent: Agent
    private let destination: SocketAddress
    private let candidates: Candidates
    private let verdict: Verdict

    init(_ agent: Agent, _ application: DatagramRelay.Application, _ verdict: Verdict) {
        self.agent = agent
        self.verdict = verdict
        destination = application.destination
        candidates = Candidates(
            asked: Rendezvous.IPAddress(destination.host), bound: application.source.map { Rendezvous.IPAddress($0) },
            mode: verdict.treatment == .shimSources ? .sourcesOnly : .destinationsAndSources)
    }

    /// - Parameters:
    ///   - found: called with all pairs that are known, each time there are more.
    ///   - done: called when that is all.
    func find(_ found: @escaping ([CandidatePair]) -> Void, _ done: @escaping () -> Void) {
        var others: [Rendezvous.IPAddress] = []
        found(pairs(with: others))
        if verdict.treatment == .shimSources { return done() }
        agent.alternates.find(
            for: destination, extra: verdict.addresses.map { SocketAddress.Host($0) }, reverse: verdict.reverseLookup,
            allowsPrivate: verdict.allowsPrivateAddresses
        ) { [self] hosts in
            others += hosts.map { Rendezvous.IPAddress($0) }
            found(pairs(with: others))
        } done: {
            done()
        }
    }

    private func pairs(with others: [Rendezvous.IPAddress]) -> [CandidatePair] {
        var routes: [Rendezvous.IPAddress: AddressSelection.Route] = [:]
        for destination in [candidates.first.destination] + others {
            routes[destination] =
                SocketAddress.Host(destination).naturalSource.map { .from(Rendezvous.IPAddress($0)) }
                ?? AddressSelection.Route.none
        }
        return candidates.pairs(with: others, by: AddressSelection(locals: sources, routes: routes))
    }

    /// Where requests may come from: what was asked for, or any address of this machine.
    private var sources: [LocalAddress] {
        let (wanted, network) = (agent.rules.sources(verdict), agent.watch?.state)
        return agent.localAddresses.filter { local in
            let host = SocketAddress.Host(local.address)
            return wanted.contains {
                switch $0 {
                case .anywhere: true
                case .address(let address): address == host
                case .interface(let name): network?.usableAddresses(ofInterface: name).contains(host) == true
                }
            }
        }
    }
}
