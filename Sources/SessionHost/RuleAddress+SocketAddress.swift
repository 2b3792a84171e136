public import Kernel
public import Policy

extension RuleAddress {
    /// Without the interface of a link-local address; an IPv4-mapped one is the IPv4 address.
    public init(_ host: SocketAddress.Host) {
        switch host.unmapped {
        case .v4(let address): self = .v4(address)
        case .v6(let high, let low, _): self = .v6(high: high, low: low)
        }
    }
}

extension SocketAddress.Host {
    public init(_ address: RuleAddress) {
        switch address {
        case .v4(let address): self = .v4(address)
        case .v6(let high, let low): self = .v6(high: high, low: low, scope: 0)
        }
    }
}
