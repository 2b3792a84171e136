extension Configuration {
    /// UDP ports whose requests get `shim` without a rule: DNS (RFC 1035) and NTP (RFC 5905).
    public static let requestPorts: [UInt16] = [53, 123]

    /// What a connection gets. The first rule that matches it says so.
    public func decide(_ facts: ConnectionFacts) -> Verdict {
        guard let rule = rules.first(where: { $0.mismatch(facts) == nil }) else {
            return Self.verdictWithoutRule(facts)
        }
        var verdict = rule.verdict
        // A rule about both protocols: there are no sessions of datagrams.
        if facts.connectionProtocol == .udp, verdict.treatment == .session { verdict.treatment = .shim }
        return verdict
    }

    private static func verdictWithoutRule(_ facts: ConnectionFacts) -> Verdict {
        switch facts.connectionProtocol {
        case .tcp: Verdict(.session)
        case .udp: Verdict(requestPorts.contains(facts.port) ? .shim : .direct)
        }
    }

    /// Names that rules have in full, and that would decide about a connection if they led to its destination. Whoever knows no
    /// name of the destination resolves these, and adds to the facts those that do.
    public func decisiveNames(_ facts: ConnectionFacts) -> [String] {
        var names: [String] = []
        for rule in rules {
            switch rule.mismatch(facts) {
            case nil: return names
            case .destination: names += rule.literalNames.filter { !names.contains($0) }
            case .protocol, .program, .user, .port, .local: continue
            }
        }
        return names
    }

    /// Whether a rule asks for the name of a user.
    public var asksForUserNames: Bool {
        rules.contains { $0.users.contains { if case .name = $0 { true } else { false } } }
    }

    /// Whether a rule asks where connections begin.
    public var asksForLocalAddresses: Bool { rules.contains { !$0.locals.isEmpty } }

    /// UDP ports that are not certain to be left alone; none if there is nothing to do for UDP. A superset of what ``decide(_:)``
    /// says.
    public var datagramPorts: [ClosedRange<UInt16>] {
        let listed = rules.filter { $0.protocols.contains(.udp) && $0.verdict.treatment != .direct }.flatMap {
            $0.ports.isEmpty ? [1...UInt16.max] : $0.ports
        }
        return Self.requestPorts.map { $0...$0 } + listed
    }

    /// Why a rule that comes before the one that matches does not.
    public struct Refusal: Equatable, Sendable {
        public let origin: RuleOrigin
        public let key: Rule.Key
        /// What the rule asks for there.
        public let wanted: String
    }

    /// The rules that were tried in vain, in order: each with the first condition that does not hold.
    public func refusals(_ facts: ConnectionFacts) -> [Refusal] {
        var refusals: [Refusal] = []
        for rule in rules {
            guard let key = rule.mismatch(facts) else { break }
            refusals.append(Refusal(origin: rule.origin, key: key, wanted: rule.text(of: key)))
        }
        return refusals
    }
}
