// What the conditions of a rule compare with.

/// Programs: a pattern of their names, or with a slash, of their paths.
struct ProgramPattern: Hashable, Sendable, CustomStringConvertible {
    private let glob: Glob
    private let isPath: Bool

    init?(_ text: String) {
        guard !text.isEmpty, let glob = Glob(text, separator: "/") else { return nil }
        self.glob = glob
        isPath = text.contains("/")
    }

    func matches(_ facts: ConnectionFacts) -> Bool { glob.matches(isPath ? facts.program : facts.programName) }

    var description: String { glob.description }
}

/// A user, by name or number.
enum UserPattern: Hashable, Sendable, CustomStringConvertible {
    case name(String)
    case id(UInt32)

    func matches(_ facts: ConnectionFacts) -> Bool {
        switch self {
        case .name(let name): facts.userName == name
        case .id(let id): facts.userID == id
        }
    }

    var description: String {
        switch self {
        case .name(let name): name
        case .id(let id): "\(id)"
        }
    }
}

/// Destinations: a network, or a pattern of names.
enum DestinationPattern: Hashable, Sendable, CustomStringConvertible {
    case network(IPNetwork)
    case name(HostNamePattern)

    func matches(_ facts: ConnectionFacts) -> Bool {
        switch self {
        case .network(let network): network.contains(facts.destination)
        case .name(let pattern): facts.names.contains(where: pattern.matches)
        }
    }

    var description: String {
        switch self {
        case .network(let network): network.description
        case .name(let pattern): pattern.description
        }
    }
}

/// Host names, in which case does not matter (RFC 4343), nor a dot at the end.
struct HostNamePattern: Hashable, Sendable, CustomStringConvertible {
    private let glob: Glob

    /// nil for what can be no name of a host, such as `10.*`.
    init?(_ text: String) {
        let isMade = text.unicodeScalars.allSatisfy { Self.isNameScalar($0) || "*?[]!^".unicodeScalars.contains($0) }
        // The last label of a name is never a number (RFC 3696, 2).
        guard isMade, text.contains(where: \.isLetter), let glob = Glob(Self.folded(text)) else { return nil }
        self.glob = glob
    }

    func matches(_ name: String) -> Bool { glob.matches(Self.folded(name)) }

    /// The name, if it stands for one alone.
    var literal: String? { glob.isLiteral ? glob.description : nil }

    var description: String { glob.description }

    /// Whether a text may be a host's name. An underscore is none of RFC 952's characters, and found all the same.
    static func isHostName(_ text: some StringProtocol) -> Bool {
        text.utf8.count <= 253 && text.contains(where: \.isLetter) && text.unicodeScalars.allSatisfy(isNameScalar)
    }

    private static func isNameScalar(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "-_.".unicodeScalars.contains(scalar)
    }

    private static func folded(_ name: String) -> String {
        let lower = name.lowercased()
        return lower.last == "." ? String(lower.dropLast()) : lower
    }
}

/// A port, or several in a row: `5432`, `8000-8100`.
enum PortRange {
    static func parse(_ text: some StringProtocol) -> ClosedRange<UInt16>? {
        let ends = text.utf8.split(separator: UInt8(ascii: "-"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = DecimalText.parse(ends[0]).flatMap(UInt16.init(exactly:)),
            let last = DecimalText.parse(ends[ends.count - 1]).flatMap(UInt16.init(exactly:)), first > 0, first <= last
        else { return nil }
        return first...last
    }

    static func text(_ range: ClosedRange<UInt16>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }
}
