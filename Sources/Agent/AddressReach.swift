import Kernel

/// From how far away an address means the same machine. An address that a name service gives in place of a public one may be
/// anywhere in the network of whoever asked, where its author could not reach by himself (DNS rebinding); so what is nearer than
/// the address that the application asked for is only tried where that is configured.
enum AddressReach: Int, Comparable {
    /// This machine: 127.0.0.0/8, `::1`.
    case host
    /// This network: private-use (RFC 1918), shared (RFC 6598) and unique local (RFC 4193) addresses, and link-local ones.
    case network
    case everywhere

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// Nil for what is nobody's to connect to: unspecified, multicast, broadcast, reserved.
    init?(_ host: SocketAddress.Host) {
        switch host {
        case .v4(let address): self.init(v4: address)
        case .v6(let high, let low, _):
            let address = SocketAddress(host: host, port: 0)
            if address.isWildcard || high >> 56 == 0xff { return nil }
            if case .v4(let inner) = host.unmapped {
                self.init(v4: inner)
            } else if address.isLoopback {
                self = .host
            } else if address.isLinkLocal || high >> 57 == 0xfc >> 1 || high >> 54 == 0xfec0 >> 6 {
                // fec0::/10 was site-local (RFC 3879).
                self = .network
            } else if let inner = Self.embedded(high: high, low: low) {
                self.init(v4: inner)
            } else {
                self = .everywhere
            }
        }
    }

    private init?(v4 address: UInt32) {
        switch address >> 24 {
        case 0, 224...255: return nil
        case 127: self = .host
        case 10: self = .network
        default:
            let isPrivate = address >> 20 == 0xac1 || address >> 16 == 0xc0a8
            let isShared = address >> 22 == 0x6440 >> 6
            let isLinkLocal = address >> 16 == 0xa9fe
            self = isPrivate || isShared || isLinkLocal ? .network : .everywhere
        }
    }

    /// The IPv4 address that a translator or a tunnel makes of an IPv6 address: 64:ff9b::/96 (RFC 6052), 2002::/16 (RFC 3056),
    /// ::/96 (RFC 4291, 2.5.5.1).
    private static func embedded(high: UInt64, low: UInt64) -> UInt32? {
        if (high == 0x0064_ff9b_0000_0000 || high == 0) && low >> 32 == 0 { return UInt32(truncatingIfNeeded: low) }
        if high >> 48 == 0x2002 { return UInt32(truncatingIfNeeded: high >> 16) }
        return nil
    }

    /// Whether an address that names lead to may be tried in place of the one that was asked for.
    ///
    /// - Parameter allowsPrivate: whether nearer addresses are allowed.
    static func allows(
        _ alternate: SocketAddress.Host, inPlaceOf asked: SocketAddress.Host, allowsPrivate: Bool
    ) -> Bool {
        guard let reach = AddressReach(alternate), let askedReach = AddressReach(asked) else { return false }
        return allowsPrivate || reach >= askedReach
    }
}
