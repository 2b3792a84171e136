// How the values of a rule are written.

/// One of some words.
enum Word<Choice: RawRepresentable & CaseIterable & Hashable>: ValueReader where Choice.RawValue == String {
    private static var words: [String] { Choice.allCases.map(\.rawValue) }

    static var expectation: String {
        let quoted = words.map { "\"\($0)\"" }
        return quoted.dropLast().joined(separator: ", ") + " or " + (quoted.last ?? "")
    }

    static func read(_ content: TOMLValue.Content) -> Choice? {
        if case .string(let text) = content { Choice(rawValue: text) } else { nil }
    }

    static func meant(by text: String) -> String? { Spelling.nearest(to: text, among: words) }
}

enum TruthReader: ValueReader {
    static var expectation: String { "true or false" }
    static func read(_ content: TOMLValue.Content) -> Bool? {
        if case .boolean(let truth) = content { truth } else { nil }
    }
}

enum ProgramReader: ValueReader {
    static var expectation: String { "the name or the path of a program, or a pattern as \"pg_*\" or \"/usr/bin/*\"" }
    static func read(_ content: TOMLValue.Content) -> ProgramPattern? {
        if case .string(let text) = content { ProgramPattern(text) } else { nil }
    }
}

enum UserReader: ValueReader {
    static var expectation: String { "the name or the number of a user" }
    static func read(_ content: TOMLValue.Content) -> UserPattern? {
        switch content {
        case .string(let text):
            if let number = DecimalText.parse(text.utf8) { return UInt32(exactly: number).map { .id($0) } }
            return text.isEmpty ? nil : .name(text)
        case .integer(let number): return UInt32(exactly: number).map { .id($0) }
        case .float, .boolean, .dateTime, .array, .table: return nil
        }
    }
}

enum AddressReader: ValueReader {
    static var expectation: String { "an address" }
    static func read(_ content: TOMLValue.Content) -> RuleAddress? {
        if case .string(let text) = content { RuleAddress(text) } else { nil }
    }
}

/// An address, or a network that is written by its first address.
enum NetworkReader: ValueReader {
    static var expectation: String { "an address, or a network as \"10.0.0.0/8\"" }

    static func read(_ content: TOMLValue.Content) -> IPNetwork? {
        guard case .string(let text) = content else { return nil }
        if let address = RuleAddress(text) { return IPNetwork(exactly: address) }
        guard let (address, network) = parse(text), address == network.base else { return nil }
        return network
    }

    static func meant(by text: String) -> String? { parse(text)?.network.description }

    private static func parse(_ text: String) -> (address: RuleAddress, network: IPNetwork)? {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = RuleAddress(String(parts[0])),
            let prefix = DecimalText.parse(parts[1].utf8),
            let network = IPNetwork(around: address, prefix: prefix)
        else { return nil }
        return (address, network)
    }
}

enum DestinationReader: ValueReader {
    static var expectation: String {
        "an address, a network as \"10.0.0.0/8\", a host name, or a pattern as \"*.example.com\""
    }

    static func read(_ content: TOMLValue.Content) -> DestinationPattern? {
        if let network = NetworkReader.read(content) { return .network(network) }
        if case .string(let text) = content { return HostNamePattern(text).map { .name($0) } }
        return nil
    }

    static func meant(by text: String) -> String? { NetworkReader.meant(by: text) }
}

enum PortReader: ValueReader {
    static var expectation: String { "a port from 1 to 65535, or several as \"8000-8100\"" }
    static func read(_ content: TOMLValue.Content) -> ClosedRange<UInt16>? {
        switch content {
        case .string(let text): PortRange.parse(text)
        case .integer(let number): PortRange.parse("\(number)")
        case .float, .boolean, .dateTime, .array, .table: nil
        }
    }
}

enum GatewayReader: ValueReader {
    static var expectation: String { "a gateway as \"HOST\", \"HOST:PORT\" or \"[IPV6]:PORT\"" }
    static func read(_ content: TOMLValue.Content) -> GatewayName? {
        if case .string(let text) = content { GatewayName(text) } else { nil }
    }
    static func meant(by text: String) -> String? { RuleAddress(text) == nil ? nil : "[\(text)]" }
}

/// An address, or what the kernel takes for the name of an interface: `dev_valid_name` there.
enum SourceReader: ValueReader {
    /// IFNAMSIZ, less the zero at the end.
    private static let longestName = 15

    static var expectation: String { "an address or the name of an interface" }

    static func read(_ content: TOMLValue.Content) -> String? {
        guard case .string(let text) = content else { return nil }
        if let address = RuleAddress(text) { return address.description }
        let isName = text.allSatisfy { $0 != "/" && $0 != ":" && !$0.isWhitespace }
        return isName && (1...longestName).contains(text.utf8.count) && text != "." && text != ".." ? text : nil
    }
}

/// What `usl identity` prints: SHA-256 in base64, of which every key has one spelling.
enum PinReader: ValueReader {
    private static let prefix = "SHA256:"
    /// Characters of base64 for 32 bytes, without padding.
    private static let length = 43
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static var expectation: String { "a key as `usl identity` prints it: \"SHA256:\" and \(length) characters" }

    static func read(_ content: TOMLValue.Content) -> String? {
        guard case .string(let text) = content, text.hasPrefix(prefix) else { return nil }
        let digits = text.utf8.dropFirst(prefix.utf8.count).compactMap { alphabet.firstIndex(of: $0) }
        // 43 digits of six bits have two more bits than 32 bytes, and these are zero.
        guard text.utf8.count == prefix.utf8.count + length, digits.count == length, digits[length - 1] % 4 == 0 else {
            return nil
        }
        return text
    }
}
