import Kernel
import Policy
import Rendezvous
import Transport

/// Looks for paths on which requests can go when the asked one is silent.
final class DatagramPathSearch {
    private unowned let agent: Agent
    private let destination: SocketAddress
    private let candidates: Candidates
    private let search: PathSearch
    /// Where requests may come from, besides wherever the kernel sends from.
    private let sources: [LinkSource]

    /// - Parameter source: what the application has bound; then other sources are not tried.
    init(_ agent: Agent, to destination: SocketAddress, from source: SocketAddress.Host?, _ verdict: Verdict) {
        self.agent = agent
        self.destination = destination
        search = PathSearch(verdict, agent.rules)
        sources = agent.rules.sources(verdict)
        candidates = Candidates(
            asked: IPAddress(destination.host), bound: source.map { IPAddress($0) },
            mode: search.sourcesOnly ? .sourcesOnly : .destinationsAndSources)
    }

    /// - Parameters:
    ///   - found: called with all pairs that are known, each time there are more.
    ///   - done: called when that is all.
    func find(_ found: @escaping ([CandidatePair]) -> Void, _ done: @escaping () -> Void) {
        var others: [IPAddress] = []
        found(pairs(with: others))
        if search.sourcesOnly { return done() }
        agent.alternates.find(
            for: destination, extra: search.addresses, reverse: search.reverseLookup,
            allowsPrivate: search.allowsPrivate
        ) { [self] hosts in
            others += hosts.map { IPAddress($0) }
            found(pairs(with: others))
        } done: {
            done()
        }
    }

    private func pairs(with others: [IPAddress]) -> [CandidatePair] {
        candidates.pairs(
            with: others,
            by: .init(from: locals, to: [candidates.first.destination] + others, port: destination.port))
    }

    private var locals: [LocalAddress] {
        let network = agent.watch?.state
        return agent.localAddresses.filter { local in
            let host = SocketAddress.Host(local.address)
            return sources.contains {
                switch $0 {
                case .anywhere: true
                case .address(let address): address == host
                case .interface(let name): network?.usableAddresses(ofInterface: name).contains(host) == true
                }
            }
        }
    }
}
