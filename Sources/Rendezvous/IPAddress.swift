/// An IPv4 or IPv6 address, without a port.
public enum IPAddress: Hashable, Sendable {
    /// The first byte is the most significant.
    case v4(UInt32)
    /// Two big-endian halves, and the interface index of a link-local address (else 0).
    case v6(high: UInt64, low: UInt64, scope: UInt32)

    public enum Family: Hashable, Sendable, CaseIterable {
        case v4, v6

        var other: Family {
            switch self {
            case .v4: .v6
            case .v6: .v4
            }
        }
    }

    public var family: Family {
        switch self {
        case .v4: .v4
        case .v6: .v6
        }
    }

    /// The IPv4 address inside `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), else the address itself: two spellings of one path.
    public var unmapped: IPAddress {
        guard case .v6(0, let low, _) = self, low >> 32 == 0xffff else { return self }
        return .v4(UInt32(truncatingIfNeeded: low))
    }

    /// `0.0.0.0` or `::`.
    public var isUnspecified: Bool {
        switch unmapped {
        case .v4(let address): address == 0
        case .v6(let high, let low, _): high == 0 && low == 0
        }
    }

    /// 127.0.0.0/8 or `::1`.
    public var isLoopback: Bool {
        switch unmapped {
        case .v4(let address): address >> 24 == 127
        case .v6(let high, let low, _): high == 0 && low == 1
        }
    }

    /// 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291, 2.5.6).
    public var isLinkLocal: Bool {
        switch unmapped {
        case .v4(let address): address >> 16 == 0xa9fe
        case .v6(let high, _, _): high >> 54 == 0xfe80 >> 6
        }
    }

    /// Whether the address means something else on another network, so that no public name server can speak of it:
    /// loopback and link-local addresses, those of RFC 1918, shared ones between a provider and its customers
    /// (100.64.0.0/10, RFC 6598), unique local ones (fc00::/7, RFC 4193), and site-local ones, which those replaced
    /// (fec0::/10, RFC 3879).
    public var isPrivate: Bool {
        if isUnspecified || isLoopback || isLinkLocal { return true }
        switch unmapped {
        case .v4(let address):
            return address >> 24 == 10 || address >> 20 == 0xac1 || address >> 16 == 0xc0a8
                || address >> 22 == 0x6440 >> 6
        case .v6(let high, _, _):
            return high >> 57 == 0xfc00 >> 9 || high >> 54 == 0xfec0 >> 6
        }
    }

    /// The address as a number of 128 bits; IPv4 in its mapped form, as RFC 6724, section 2.1, has it.
    var bits: (high: UInt64, low: UInt64) {
        switch self {
        case .v4(let address): (0, 0xffff_0000_0000 | UInt64(address))
        case .v6(let high, let low, _): (high, low)
        }
    }

    /// How many leading bits two addresses share, the 96 of the mapped form included.
    func commonBits(with other: IPAddress) -> Int {
        let (mine, theirs) = (bits, other.bits)
        let high = (mine.high ^ theirs.high).leadingZeroBitCount
        return high < 64 ? high : 64 + (mine.low ^ theirs.low).leadingZeroBitCount
    }
}

// MARK: - Scope

extension IPAddress {
    /// How far an address reaches: the values of RFC 4291, section 2.7, as RFC 6724, section 3.1, compares them.
    public struct Scope: Comparable, Sendable {
        let value: UInt8

        public static let link = Scope(value: 2)
        public static let site = Scope(value: 5)
        public static let global = Scope(value: 14)

        public static func < (one: Scope, another: Scope) -> Bool { one.value < another.value }
    }

    /// Loopback reaches as far as the link; private addresses of both families are global ones (sections 3.1 and 3.2).
    public var scope: Scope {
        if isLoopback || isLinkLocal { return .link }
        switch unmapped {
        case .v4: return .global
        case .v6(let high, _, _):
            if high >> 56 == 0xff { return Scope(value: UInt8(high >> 48 & 0xf)) }
            return high >> 54 == 0xfec0 >> 6 ? .site : .global
        }
    }
}
