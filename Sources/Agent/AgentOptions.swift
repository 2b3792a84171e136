public import Kernel
public import Policy
public import SessionHost
public import SessionProtocol
public import Transport

/// What `usl CMD`, `usl forward` or `usl agent --socks` was asked to do with connections.
public struct AgentOptions: Sendable {
    public enum Verbosity: Int, Sendable, Comparable {
        case quiet
        case normal
        case verbose

        public static func < (left: Verbosity, right: Verbosity) -> Bool { left.rawValue < right.rawValue }
    }

    /// A gateway that was named.
    public struct Gateway: Sendable {
        /// As people wrote it.
        public let name: HostPort
        public let addresses: [SocketAddress]

        public init(name: HostPort, addresses: [SocketAddress]) {
            self.name = name
            self.addresses = addresses
        }
    }

    /// Without one, each destination is asked at ``gatewayPort``.
    public var gateway: Gateway?
    /// Whether it also resolves the names that clients of the SOCKS port ask for.
    public var gatewayResolves = false
    /// nil: as the rules say. What they refuse stays refused.
    public var treatment: Treatment?
    /// How unknown destinations are asked; nil: as the rules say.
    public var detection: DetectionMode?
    /// Whether links to other hosts are plain instead of TLS.
    public var isPlain = false
    /// The gateway's key, if it was given: then none is remembered.
    public var pin: Fingerprint?
    /// Where this end's key is, and those that are known.
    public var state: StateDirectory
    /// Limits, and rules about connections.
    public var configuration = Configuration()
    /// Where that has been read from, to be read again; nil if it stays.
    public var files: ConfigurationFiles?
    /// How long a session may be without a link; nil: as the rules and limits say.
    public var suspend: Duration?
    /// Where links begin, each on a path of its own; nil: as the rules say.
    public var sources: [LinkSource]?
    /// What several links are for; nil: as the rules say.
    public var mode: LinkMode?
    /// What carries links; nil: as the rules say.
    public var transport: LinkTransport?
    /// Whether a gateway serves the ports on which the program listens.
    public var offers = true
    public var verbosity = Verbosity.normal

    /// Where a gateway listens by default.
    public static let gatewayPort = GatewayPort.standard

    public init(state: StateDirectory) { self.state = state }
}
