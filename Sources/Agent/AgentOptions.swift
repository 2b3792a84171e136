public import Kernel
public import SessionProtocol

/// What `usl CMD` or `usl forward` was asked to do with connections.
public struct AgentOptions: Sendable {
    public enum Treatment: String, Sendable, CaseIterable {
        case session
        case direct
    }

    public enum Verbosity: Int, Sendable, Comparable {
        case quiet
        case normal
        case verbose

        public static func < (left: Verbosity, right: Verbosity) -> Bool { left.rawValue < right.rawValue }
    }

    /// The gateway that was named, as people wrote it, and its addresses. Without one, each destination is asked at
    /// ``gatewayPort``.
    public var gateway: (name: String, addresses: [SocketAddress])?
    public var treatment: Treatment
    /// Links to other hosts may be plain; until links can be TLS, they have to.
    public var plain: Bool
    /// How long a session may be without a link.
    public var suspendLimit: Interval
    public var verbosity: Verbosity

    /// Where a gateway listens by default.
    public static let gatewayPort: UInt16 = 7117

    public init(
        gateway: (name: String, addresses: [SocketAddress])?, treatment: Treatment, plain: Bool,
        suspendLimit: Interval, verbosity: Verbosity
    ) {
        self.gateway = gateway
        self.treatment = treatment
        self.plain = plain
        self.suspendLimit = suspendLimit
        self.verbosity = verbosity
    }
}
