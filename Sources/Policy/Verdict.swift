/// What a connection gets, by the rule that matches it first; what that rule leaves open, and everything where none matches, is
/// as it is here.
public struct Verdict: Equatable, Sendable {
    /// Where the rule is written; nil if none matches.
    public var origin: RuleOrigin?
    public var treatment: Treatment
    /// Of a session. nil: it is looked for as ``detection`` says.
    public var gateway: GatewayName?
    /// What several links are for. nil: the command line's, or failover.
    public var links: LinkUse?
    /// Where links and attempts begin: addresses, and names of interfaces. nil: the command line's, or wherever routing says.
    public var sources: [String]?
    /// What carries links and connections. nil: the command line's, or TCP.
    public var transport: TransportName?
    /// How long a session may be without a link. nil: what `[limits]` says.
    public var suspend: Duration?
    /// The gateway's key, as `usl identity` writes it; its form has been checked. nil: the one that is known.
    public var pin: String?
    public var attempts = AttemptLimits()
    /// Where the destination can be reached too.
    public var addresses: [RuleAddress] = []
    public var reverseLookup = ReverseLookup.confirmed
    /// Whether names may lead to private and link-local addresses. Without it they may only where the asked address is one.
    public var allowsPrivateAddresses = false
    public var detection = DetectionMode.port

    /// Without a rule.
    public init(_ treatment: Treatment) { self.treatment = treatment }
}

/// Where a rule is written.
public struct RuleOrigin: Hashable, Sendable, CustomStringConvertible {
    public let file: String
    /// Counted from 1.
    public let line: Int

    public init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    public var description: String { "\(file):\(line)" }
}

/// What several links of a session are for: docs/architecture.md.
public enum LinkUse: String, CaseIterable, Sendable {
    case failover
    case mirror
    case stripe
}

/// What carries links and connections.
public enum TransportName: String, CaseIterable, Sendable {
    case tcp
    case mptcp
}

/// A gateway as people write it: `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
public struct GatewayName: Hashable, Sendable, CustomStringConvertible {
    /// A name or an address.
    public let host: String
    /// nil: the port that gateways have by default.
    public let port: UInt16?

    init?(_ text: String) {
        let host: Substring
        let rest: Substring
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]"), RuleAddress(String(text[..<end].dropFirst())) != nil else {
                return nil
            }
            host = text[..<end].dropFirst()
            rest = text[text.index(after: end)...]
        } else {
            host = text.prefix { $0 != ":" }
            rest = text[host.endIndex...]
            guard RuleAddress(String(host)) != nil || HostNamePattern.isHostName(host) else { return nil }
        }
        self.host = String(host)
        if rest.isEmpty {
            port = nil
        } else {
            guard rest.first == ":", let ports = PortRange.parse(rest.dropFirst()), ports.count == 1 else { return nil }
            port = ports.lowerBound
        }
    }

    public var description: String {
        let shown = host.contains(":") ? "[\(host)]" : host
        return port.map { "\(shown):\($0)" } ?? shown
    }
}
