/// One `[[rule]]` of `usl.toml`: which connections it is about, and what they get.
public struct Rule: Equatable, Sendable {
    /// What a rule can ask for, in the order in which it is looked at.
    public enum Key: String, CaseIterable, Sendable {
        case `protocol`
        case program
        case user
        case port
        case local
        case destination
    }

    public internal(set) var verdict: Verdict
    public let origin: RuleOrigin

    var protocols: [ConnectionFacts.ConnectionProtocol] = [.tcp]
    // Without any, all match.
    var programs: [ProgramPattern] = []
    var users: [UserPattern] = []
    var ports: [ClosedRange<UInt16>] = []
    var locals: [IPNetwork] = []
    var destinations: [DestinationPattern] = []

    init(at origin: RuleOrigin) {
        self.origin = origin
        verdict = Verdict(.session)
        verdict.origin = origin
    }

    /// Whether a condition holds.
    func holds(_ key: Key, for facts: ConnectionFacts) -> Bool {
        switch key {
        case .protocol: protocols.contains(facts.connectionProtocol)
        case .program: programs.isEmpty || programs.contains { $0.matches(facts) }
        case .user: users.isEmpty || users.contains { $0.matches(facts) }
        case .port: ports.isEmpty || ports.contains { $0.contains(facts.port) }
        case .local: locals.isEmpty || facts.local.map { local in locals.contains { $0.contains(local) } } ?? false
        case .destination: destinations.isEmpty || destinations.contains { $0.matches(facts) }
        }
    }

    /// The first condition that does not hold; nil if the rule matches.
    func mismatch(_ facts: ConnectionFacts) -> Key? { Key.allCases.first { !holds($0, for: facts) } }

    /// What a condition asks for, for people.
    func text(of key: Key) -> String {
        let words =
            switch key {
            case .protocol: protocols.map(\.rawValue)
            case .program: programs.map(\.description)
            case .user: users.map(\.description)
            case .port: ports.map(PortRange.text)
            case .local: locals.map(\.description)
            case .destination: destinations.map(\.description)
            }
        return words.joined(separator: ", ")
    }

    /// Names that its destinations have in full.
    var literalNames: [String] {
        destinations.compactMap { if case .name(let pattern) = $0 { pattern.literal } else { nil } }
    }
}
