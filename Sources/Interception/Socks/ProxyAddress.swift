// No imports, so that it can be fuzzed by itself.

/// Where a client of the SOCKS port wants to go, or where it has been connected from.
public struct ProxyAddress: Hashable, Sendable {
    public enum Host: Hashable, Sendable {
        /// The first byte of the address is the most significant.
        case v4(UInt32)
        case v6(high: UInt64, low: UInt64)
        /// A name, or an address in text, without the brackets of IPv6. Visible ASCII characters alone, between 1 and 255.
        case name(String)
    }

    public let host: Host
    public let port: UInt16

    public init(host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Whether a name, or an address in text, can be one: a control character could drive a terminal, and the system's resolver
    /// ends at a zero. No name of the DNS is longer than SOCKS can say (RFC 1035, section 2.3.4).
    static func isName(_ bytes: some Collection<UInt8>) -> Bool {
        (1...255).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7e).contains($0) }
    }
}

extension ProxyAddress {
    /// The kinds of addresses of RFC 1928, section 5.
    enum Kind: UInt8 {
        case v4 = 1
        case name = 3
        case v6 = 4
    }

    /// ATYP, address and port as RFC 1928 has them.
    var encoded: [UInt8] {
        var bytes: [UInt8]
        switch host {
        case .v4(let address): bytes = [Kind.v4.rawValue] + Self.bytes(of: address)
        case .v6(let high, let low): bytes = [Kind.v6.rawValue] + Self.bytes(of: high) + Self.bytes(of: low)
        case .name(let name):
            bytes = [Kind.name.rawValue, UInt8(name.utf8.count)] + name.utf8
        }
        bytes += Self.bytes(of: port)
        return bytes
    }

    /// Reads what ``encoded`` writes, all of it; nil for anything else.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard let first = bytes.first, let kind = Kind(rawValue: first), bytes.count > 2 else { return nil }
        let address = bytes.dropFirst().dropLast(2)
        let host: Host
        switch kind {
        case .v4:
            guard address.count == 4 else { return nil }
            host = .v4(Self.integer(address))
        case .v6:
            guard address.count == 16 else { return nil }
            host = .v6(high: Self.integer(address.prefix(8)), low: Self.integer(address.suffix(8)))
        case .name:
            let name = address.dropFirst()
            guard address.first == UInt8(clamping: name.count), Self.isName(name) else { return nil }
            host = .name(String(decoding: name, as: UTF8.self))
        }
        self.init(host: host, port: Self.integer(bytes.suffix(2)))
    }

    private static func bytes<Value: FixedWidthInteger>(of value: Value) -> [UInt8] {
        (1...Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Value(Value.bitWidth - 8 * $0)) }
    }

    private static func integer<Value: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Value {
        bytes.reduce(0) { $0 << 8 | Value($1) }
    }
}
