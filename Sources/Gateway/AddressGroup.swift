import Kernel

/// Addresses that count as one where strangers are bounded: an IPv4 address, or the first 64 bits of an IPv6 address, since
/// whoever has one of a network of 64 bits has all of them (RFC 4291, 2.5.1).
enum AddressGroup: Hashable {
    case v4(UInt32)
    case v6(UInt64)

    init(_ address: SocketAddress) {
        switch address.unmapped.host {
        case .v4(let host): self = .v4(host)
        case .v6(let high, _, _): self = .v6(high)
        }
    }
}
