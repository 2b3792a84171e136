extension AddressSelection {
    /// The order in which destinations are to be tried (RFC 6724, section 6).
    public func sorted(_ destinations: [IPAddress]) -> [IPAddress] {
        destinations
            .map { (destination: $0, rank: rank(of: $0)) }
            .stablySorted { $0.rank.lexicographicallyPrecedes($1.rank) }  // rule 10: else as they came
            .map(\.destination)
    }

    /// The rules of section 6 in their order; of two destinations the one with the smaller number at the first difference
    /// is better. Rules 2, 3, 5 and 9 do not apply without a source. Rule 4 is about home addresses, rule 7 about tunnels
    /// that this machine cannot tell from other interfaces; the well-known ones come late by their precedence.
    private func rank(of destination: IPAddress) -> [Int] {
        let destination = destination.unmapped
        let source = source(for: destination)
        return [
            source == nil ? 1 : 0,  // 1: unusable
            source?.address.scope == destination.scope ? 0 : 1,  // 2
            source?.isDeprecated == true ? 1 : 0,  // 3
            source?.address.label == destination.label ? 0 : 1,  // 5
            -destination.precedence,  // 6
            Int(destination.scope.value),  // 8: the smaller scope
            -(source?.prefixInCommon(with: destination) ?? 0),  // 9, within a family: precedence tells IPv4 from IPv6
        ]
    }
}

extension LocalAddress {
    /// Of IPv4, whose addresses say nothing about where they are, only neighbours count, as in glibc. Else one of several
    /// servers would get all the load, instead of the one that the name server put first (allowed by RFC 6724, section 6).
    fileprivate func prefixInCommon(with destination: IPAddress) -> Int {
        switch destination.family {
        case .v4: isNeighbour(of: destination) ? commonPrefix(with: destination) : 0
        case .v6: commonPrefix(with: destination)
        }
    }
}

/// Takes addresses of either family in turn, beginning with the given one, each family in its order (RFC 8305, section 4,
/// with a First Address Family Count of 1).
func interleaved(_ addresses: [IPAddress], beginningWith family: IPAddress.Family) -> [IPAddress] {
    let first = addresses.filter { $0.family == family }
    let second = addresses.filter { $0.family == family.other }
    return (0..<max(first.count, second.count)).flatMap { index in
        [first, second].compactMap { index < $0.count ? $0[index] : nil }
    }
}
