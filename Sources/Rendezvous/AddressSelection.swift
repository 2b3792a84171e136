/// Default address selection of RFC 6724: which source goes with a destination, and which destination comes first.
///
/// What a routing table knows is given for each destination, by whoever can ask the kernel (`connect(2)` of a datagram
/// socket, then `getsockname(2)`); what is not given is estimated from the addresses.
public struct AddressSelection: Sendable {
    /// What the kernel says about a destination.
    public enum Route: Hashable, Sendable {
        /// It would send from this address.
        case from(IPAddress)
        /// There is no way to it.
        case none
    }

    let locals: [LocalAddress]
    let routes: [IPAddress: Route]

    /// - Parameter locals: addresses that packets can leave from now; tentative ones and those of interfaces that are down
    ///   are not among them.
    /// - Parameter routes: keyed by unmapped destinations.
    public init(locals: [LocalAddress], routes: [IPAddress: Route] = [:]) {
        self.locals = locals
        self.routes = routes
    }

    /// Source(D): where packets to a destination leave from when nobody says anything; nil if nothing fits.
    public func source(for destination: IPAddress) -> LocalAddress? {
        let destination = destination.unmapped
        switch routes[destination] {
        case .some(.none): return nil
        case .from(let address):
            return locals.first { $0.address == address } ?? LocalAddress(onlyKnownAs: address)
        case nil: return sources(for: destination).first
        }
    }

    /// The candidate sources of a destination (section 4), best first (section 5).
    func sources(for destination: IPAddress) -> [LocalAddress] {
        let interface = outgoingInterface(for: destination)
        return
            locals
            .filter { isCandidate($0, for: destination) }
            .map { (source: $0, rank: rank(of: $0, for: destination, over: interface)) }
            .stablySorted { $0.rank.lexicographicallyPrecedes($1.rank) }
            .map(\.source)
    }

    /// Sources other than what the kernel chooses that packets to a destination can leave from, in the order in which
    /// they are worth trying: each network of this machine once, and only then further addresses of the same.
    func otherSources(for destination: IPAddress) -> [LocalAddress] {
        // Whatever has this machine itself at its end takes one way, from wherever.
        if destination.isLoopback || locals.contains(where: { $0.address == destination }) { return [] }
        var seen = source(for: destination).map { [$0] } ?? []
        var further: [LocalAddress] = []
        var fresh: [LocalAddress] = []
        for source in sources(for: destination) where source.address.scope >= destination.scope {
            if case .from(source.address) = routes[destination] { continue }
            if seen.contains(where: { $0.sharesNetwork(with: source) }) {
                further.append(source)
            } else {
                seen.append(source)
                fresh.append(source)
            }
        }
        // Among `further` may be the estimate of the kernel's choice. It is not left out, since it may be wrong.
        return fresh + further
    }

    // MARK: - Sources

    /// Section 4: sources are of the destination's family; those of a link-local destination are on its link.
    private func isCandidate(_ source: LocalAddress, for destination: IPAddress) -> Bool {
        guard source.address.family == destination.family else { return false }
        if source.address.isLoopback && !destination.isLoopback { return false }
        guard destination.isLinkLocal, case .v6(_, _, let interface) = destination, interface != 0 else { return true }
        return source.interface == interface
    }

    /// Known of link-local destinations and of neighbours.
    private func outgoingInterface(for destination: IPAddress) -> UInt32? {
        if case .v6(_, _, let scope) = destination, scope != 0 { return scope }
        return locals.filter { $0.address.family == destination.family && $0.isNeighbour(of: destination) }
            .max { $0.prefixLength < $1.prefixLength }?.interface
    }

    /// The rules of section 5 in their order; of two sources the one with the smaller number at the first difference is
    /// better. Rule 4 is about home addresses, which nothing here has, and 5.5 about which router announced a prefix, which
    /// the kernel does not tell.
    private func rank(of source: LocalAddress, for destination: IPAddress, over interface: UInt32?) -> [Int] {
        let scope = Int(source.address.scope.value)
        let reaches = source.address.scope >= destination.scope
        return [
            source.address == destination ? 0 : 1,  // 1: the same address
            reaches ? 0 : 1, reaches ? scope : -scope,  // 2: the smallest scope that reaches, else the widest
            source.isDeprecated ? 1 : 0,  // 3
            interface == nil || source.interface == interface ? 0 : 1,  // 5: the outgoing interface
            source.address.label == destination.label ? 0 : 1,  // 6
            source.isTemporary ? 0 : 1,  // 7
            -source.commonPrefix(with: destination),  // 8
        ]
    }
}

extension Array {
    /// Sorted, with what is equal left in its order; which the library does, and does not promise.
    func stablySorted(by precedes: (Element, Element) -> Bool) -> [Element] {
        enumerated()
            .sorted { one, another in
                if precedes(one.element, another.element) { return true }
                return !precedes(another.element, one.element) && one.offset < another.offset
            }
            .map(\.element)
    }
}
