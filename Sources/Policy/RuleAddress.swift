/// An IPv4 or IPv6 address, without the interface that a link-local one belongs to.
public enum RuleAddress: Hashable, Sendable {
    /// The first byte is the most significant.
    case v4(UInt32)
    /// Two halves, likewise.
    case v6(high: UInt64, low: UInt64)

    /// From 4 or 16 bytes in network byte order. An IPv4 address inside `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2) is that address.
    public init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self = .v4(UInt32(truncatingIfNeeded: Self.number(bytes)))
        case 16: self = Self.v6(high: Self.number(bytes.prefix(8)), low: Self.number(bytes.suffix(8))).unmapped
        default: return nil
        }
    }

    /// Reads `192.0.2.1` or `2001:db8::1` (RFC 4291, 2.2); nil for anything else.
    public init?(_ text: String) {
        if let address = Self.v4(text.utf8[...]) {
            self = .v4(address)
        } else if let address = IPv6Text.parse(text.utf8[...]) {
            self = address.unmapped
        } else {
            return nil
        }
    }

    /// Bits of an address of this family.
    var width: Int {
        switch self {
        case .v4: 32
        case .v6: 128
        }
    }

    private var unmapped: RuleAddress {
        guard case .v6(0, let low) = self, low >> 32 == 0xffff else { return self }
        return .v4(UInt32(truncatingIfNeeded: low))
    }

    private static func number(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    /// Four decimal numbers without leading zeros, which some take for octal (RFC 6943, 3.1.1).
    static func v4(_ text: Substring.UTF8View) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), maxSplits: 4, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var address: UInt32 = 0
        for part in parts {
            guard let number = DecimalText.parse(part), number <= 255, part.count == 1 || part.first != 0x30 else {
                return nil
            }
            address = address << 8 | UInt32(number)
        }
        return address
    }
}

extension RuleAddress: CustomStringConvertible {
    /// As RFC 5952 wants it.
    public var description: String {
        switch self {
        case .v4(let address):
            stride(from: 24, through: 0, by: -8).map { "\(address >> UInt32($0) & 0xff)" }.joined(separator: ".")
        case .v6(let high, let low): IPv6Text.text(high, low)
        }
    }
}

/// Addresses that begin with the same bits: `10.0.0.0/8`.
public struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
    let base: RuleAddress
    let prefix: Int

    /// The one address.
    init(exactly address: RuleAddress) {
        base = address
        prefix = address.width
    }

    /// The network that an address is in; nil if the prefix is longer than the address.
    init?(around address: RuleAddress, prefix: Int) {
        guard (0...address.width).contains(prefix) else { return nil }
        self.prefix = prefix
        switch address {
        case .v4(let bits): base = .v4(bits & ~(UInt32.max >> UInt32(prefix)))
        case .v6(let high, let low):
            base = .v6(
                high: high & ~(UInt64.max >> UInt64(min(prefix, 64))),
                low: low & ~(UInt64.max >> UInt64(max(prefix, 64) - 64)))
        }
    }

    public func contains(_ address: RuleAddress) -> Bool { IPNetwork(around: address, prefix: prefix) == self }

    public var description: String { prefix == base.width ? "\(base)" : "\(base)/\(prefix)" }
}

/// Numbers in digits alone: `Int.init` would take a sign as well.
enum DecimalText {
    static func parse(_ text: some Collection<UInt8>) -> Int? {
        guard !text.isEmpty, text.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(String(decoding: text, as: UTF8.self))
    }
}
