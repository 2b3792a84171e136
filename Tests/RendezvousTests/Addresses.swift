@testable import Rendezvous

/// Addresses in tests are written as people write them.
extension IPAddress: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) {
        let parts = text.split(separator: "%")
        let scope = parts.count == 2 ? UInt32(parts[1])! : 0
        guard text.contains(":") else {
            self = .v4(text.split(separator: ".").reduce(0) { $0 << 8 | UInt32($1)! })
            return
        }
        let halves = Self.halves(of: parts[0])
        let words = halves.left + Array(repeating: 0, count: 8 - halves.left.count - halves.right.count) + halves.right
        let number = { (words: ArraySlice<UInt64>) in words.reduce(0) { $0 << 16 | $1 } }
        self = .v6(high: number(words[..<4]), low: number(words[4...]), scope: scope)
    }

    /// The groups before and behind `::`.
    private static func halves(of text: Substring) -> (left: [UInt64], right: [UInt64]) {
        let groups = { (text: Substring) in text.split(separator: ":").map { UInt64($0, radix: 16)! } }
        guard let gap = text.indices.first(where: { text[$0...].hasPrefix("::") }) else { return (groups(text), []) }
        return (groups(text[..<gap]), groups(text[gap...]))
    }
}

extension LocalAddress: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) { self.init(IPAddress(stringLiteral: text)) }

    /// On interface 1, in a network of the usual size.
    init(_ address: IPAddress, interface: UInt32 = 1, deprecated: Bool = false, temporary: Bool = false) {
        self.init(
            address: address, prefixLength: address.family == .v4 ? 24 : 64, interface: interface,
            isDeprecated: deprecated, isTemporary: temporary)
    }
}

func milliseconds(_ count: UInt64) -> UInt64 { count * 1_000_000 }
func seconds(_ count: UInt64) -> UInt64 { count * 1_000_000_000 }
