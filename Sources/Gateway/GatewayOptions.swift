public import Kernel
public import Policy
public import SessionHost

/// What a gateway does.
public struct GatewayOptions: Sendable {
    /// Where agents connect; never empty.
    public let listen: [SocketAddress]
    /// Where a gateway connects for them.
    public var allow: AllowList
    /// Ports where it stands in front of servers.
    public var fronts: [Front] = []
    /// Whether links are plain instead of TLS.
    public var isPlain = false
    /// The file of the keys that are served; nil: any key is.
    public var authorized: String?
    /// Whether servers are told who asks, by a header of the PROXY protocol in front of the session's bytes.
    public var sendsProxyHeader = false
    /// Whether it is there for what server programs offer, and ends with the last of them.
    public var isForOffers = false
    public var limits = Limits()
    /// Where these have been read from, to be read again; nil if they stay.
    public var files: ConfigurationFiles?
    /// How long a session may be without a link, whatever the limits say.
    public var suspend: Duration?
    /// Where what outlives the gateway is kept.
    public var state: StateDirectory

    /// An address where the gateway or its fronts would listen twice.
    public var addressGivenTwice: SocketAddress? {
        var seen: Set<SocketAddress> = []
        return (listen + fronts.flatMap(\.listen)).first { !seen.insert($0).inserted }
    }

    public init(listen: [SocketAddress], allow: AllowList, state: StateDirectory) {
        self.listen = listen
        self.allow = allow
        self.state = state
    }
}
