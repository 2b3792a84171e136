public import Kernel

extension ProxyAddress {
    /// `0.0.0.0:0` for an address that is not known, as SOCKS has no other way to say so.
    public init(_ address: SocketAddress?) {
        switch address?.unmapped.host {
        case .v4(let host): self.init(host: .v4(host), port: address?.port ?? 0)
        case .v6(let high, let low, _): self.init(host: .v6(high: high, low: low), port: address?.port ?? 0)
        case nil: self.init(host: .v4(0), port: 0)
        }
    }
}

extension ProxyAddress: CustomStringConvertible {
    public var description: String {
        switch host {
        case .v4(let host): "\(SocketAddress(host: .v4(host), port: port))"
        case .v6(let high, let low): "\(SocketAddress(host: .v6(high: high, low: low, scope: 0), port: port))"
        case .name(let name): "\(HostPort(host: name, port: port))"
        }
    }
}
