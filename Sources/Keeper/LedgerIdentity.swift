public import Kernel

/// What a session is.
public struct LedgerIdentity: Equatable, Sendable {
    public enum Role: UInt8, Sendable {
        case agent = 1
        case gateway = 2
    }

    /// 16 bytes.
    public var session: [UInt8]
    public var role: Role
    /// How it uses several links, in the numbers of the protocol.
    public var mode: UInt8
    /// Where its links go to, or came from.
    public var peer: SocketAddress
    /// What the application asked for.
    public var destination: SocketAddress
    /// Nanoseconds of `CLOCK_BOOTTIME`, which also counts while the machine sleeps.
    public var openedAt: UInt64
    /// The leg's key in escrow. Before there is a leg, that of the address where the application is held, or 0.
    public var leg: EscrowKey
    /// How many seconds it may be without a link.
    public var suspendLimit: UInt32
    public var details: Details

    /// What only one of the two ends has to know.
    public enum Details: Equatable, Sendable {
        case application(Application)
        /// At a gateway, so that a repeated OPEN can be answered as the first: 32 bytes each.
        case keyShares(opener: [UInt8], own: [UInt8])
    }

    /// At an agent: who asked for the session.
    public struct Application: Equatable, Sendable {
        /// Where its leg comes from; nil if the leg is there already.
        public var source: SocketAddress?
        /// The kernel's identity of its socket; 0 if it has not asked itself.
        public var cookie: UInt64
        /// Whether it asked for an IPv4-mapped IPv6 address.
        public var isMapped: Bool
        /// The program's name; 16 bytes of it are kept.
        public var program: String
        /// How its socket is told from others that come from `source`: a number of the interception's.
        public var proof: UInt8
        /// By which the next agent knows the rule again that says how its links are made; 0 if there is none.
        public var rule: UInt32

        public init(
            source: SocketAddress?, cookie: UInt64, isMapped: Bool, program: String, proof: UInt8 = 0, rule: UInt32 = 0
        ) {
            self.rule = rule
            self.proof = proof
            self.source = source
            self.cookie = cookie
            self.isMapped = isMapped
            self.program = program
        }
    }

    public init(
        session: [UInt8], role: Role, mode: UInt8 = 0, peer: SocketAddress, destination: SocketAddress,
        openedAt: UInt64, leg: EscrowKey, suspendLimit: UInt32, details: Details
    ) {
        self.session = session
        self.role = role
        self.mode = mode
        self.peer = peer
        self.destination = destination
        self.openedAt = openedAt
        self.leg = leg
        self.suspendLimit = suspendLimit
        self.details = details
    }
}
