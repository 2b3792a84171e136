import Engine
import Kernel
import Policy
import SessionProtocol
import Transport

/// The way to the other end of a session: its gateway, and how links to it are made.
struct GatewayRoute: Sendable {
    /// As people wrote it; nil if it was found at the destination.
    let name: HostPort?
    /// The destination, where the gateway was found there and serves it only while a server program offers it.
    var offered: SocketAddress?
    /// Never empty.
    let addresses: [SocketAddress]
    let sources: [LinkSource]
    let mode: LinkMode
    let transport: LinkTransport
    /// The one key that is accepted; nil: the one that is known.
    let pin: Fingerprint?
    let suspendLimit: Interval
    /// ``Policy/Verdict/mark``.
    let rule: UInt32

    var paths: LinkPaths { LinkPaths(to: addresses, from: sources, mode: mode, transport: transport) }

    /// For people.
    var gatewayName: String { name.map { "gateway \($0)" } ?? "gateway \(addresses[0])" }

    /// What the gateway's key is remembered under. One that may go with its server is no gateway of the whole host: nothing else there
    /// may wait for it when it is gone.
    var trustName: String { (name?.description ?? offered?.description) ?? addresses[0].description }
}

extension GatewayName {
    var hostPort: HostPort { HostPort(host: host, port: port ?? AgentOptions.gatewayPort) }
}

extension LinkMode {
    init(_ use: LinkUse) {
        switch use {
        case .failover: self = .failover
        case .mirror: self = .mirror
        case .stripe: self = .stripe
        }
    }
}

extension LinkTransport {
    init(_ name: TransportName) {
        switch name {
        case .tcp: self = .tcp
        case .mptcp: self = .mptcp
        }
    }
}

extension Verdict {
    /// By which the next agent knows a rule again, in whatever line it is by then: a hash of what it says about links, and in the
    /// lowest bit, whether it says which gateway is the right one. 0 if it says nothing about links.
    var mark: UInt32 {
        let isAboutLinks = gateway != nil || pin != nil || links != nil || sources != nil || transport != nil
        guard isAboutLinks else { return 0 }
        let words = [gateway?.description, pin, links?.rawValue, transport?.rawValue] + (sources ?? [])
        // FNV-1a.
        var hash: UInt32 = 0x811c_9dc5
        for byte in words.map({ $0 ?? "" }).joined(separator: "\n").utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return hash & ~3 | 2 | (namesGateway ? 1 : 0)
    }

    private var namesGateway: Bool { gateway != nil || pin != nil }

    /// Whether the rule of this mark says which gateway is the right one.
    static func namesGateway(mark: UInt32) -> Bool { mark & 1 != 0 }
}
