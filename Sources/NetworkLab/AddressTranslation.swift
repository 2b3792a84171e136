import Synchronization

/// A router that hides a host's networks behind its own address on another host's network (masquerading, nft(8)), and
/// that can forget what it knows. IPv4.
public final class AddressTranslation: Sendable {
    private let router: Host
    private let inside: Host
    private let outside: LabNetwork
    /// How often the outer ports were changed, and the last part of the outer address.
    private let mapping = Mutex<(generation: Int, end: Int)>((0, 1))

    /// Starts translating what `inside` sends to `outside`.
    init(router: Host, inside: Host, outside: Host) throws(LabError) {
        for tool in [Tool.nft, .conntrack] { _ = try tool.located() }
        self.router = router
        self.inside = inside
        self.outside = LabNetwork(host: outside.number, interface: 0)
        try apply()
    }

    /// The outer address now.
    public var address: String { mapping.withLock { outside.address($0.end) } }

    /// Gives everything that is translated another port, as a router that was restarted does. Packets of known connections
    /// become new connections to the other side, which answers them with resets; what the other side sends meets nobody.
    public func rebind() throws(LabError) {
        mapping.withLock { $0.generation += 1 }
        try apply()
        try flush()
    }

    /// Gives everything another outer address.
    public func move() throws(LabError) {
        let end = mapping.withLock { mapping in
            mapping.generation += 1
            mapping.end = mapping.end == 1 ? 101 : mapping.end + 1
            return mapping.end
        }
        try router.configure(.ip, ["address", "add", "\(outside.address(end))/24", "dev", outside.routerInterface])
        try apply()
        try flush()
    }

    /// Forgets all connections, and tells nobody: their packets vanish, both ways, and only new connections are translated.
    public func forget() throws(LabError) {
        try router.succeed(["/bin/sh", "-c", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose"])
        try apply(silently: true)
        try flush()
    }

    private func flush() throws(LabError) { try router.succeed(["conntrack", "-F"]) }

    private func apply(silently: Bool = false) throws(LabError) {
        let (generation, end) = mapping.withLock { $0 }
        let ports = 20_000 + generation % 30 * 1000
        let sources = (0..<4).map { LabNetwork(host: inside.number, interface: $0).prefix }.joined(separator: ", ")
        let drops = """
            chain known {
                type filter hook forward priority 0;
                ct state invalid drop
            }
            chain own {
                type filter hook input priority 0;
                iifname "\(outside.routerInterface)" meta l4proto tcp drop
            }
            """
        let rules = """
            table ip translation {}
            delete table ip translation
            table ip translation {
                chain leave {
                    type nat hook postrouting priority srcnat;
                    oifname "\(outside.routerInterface)" ip saddr { \(sources) } meta l4proto tcp snat to \(outside.address(end)):\(ports)-\(ports + 999)
                }
                \(silently ? drops : "")
            }
            """
        try router.configure(.nft, ["-f", "-"], input: rules)
    }
}

extension Lab {
    /// Hides what one host sends to another behind the router's address.
    public func translate(_ inside: String, to outside: String) throws(LabError) -> AddressTranslation {
        try AddressTranslation(router: router, inside: self[inside], outside: self[outside])
    }
}
