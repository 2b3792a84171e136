public import Kernel
public import Policy

/// What a gateway does.
public struct GatewayOptions: Sendable {
    /// Where agents connect; never empty.
    public var listen: [SocketAddress]
    /// Where a gateway connects for them.
    public var allow: AllowList
    /// Whether links may come from other hosts without encryption.
    public var allowsPlain = false
    /// Whether servers are told who asks, by a header of the PROXY protocol in front of the session's bytes.
    public var sendsProxyHeader = false
    public var limits = Limits()
    /// Where what outlives the gateway is kept.
    public var state: StateDirectory

    public init(listen: [SocketAddress], allow: AllowList, state: StateDirectory) {
        self.listen = listen
        self.allow = allow
        self.state = state
    }
}
