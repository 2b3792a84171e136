/// The network between one interface of a host and the router. The router is 1 on it, the host 2.
///
/// A host's further interfaces are on networks of their own, and the host's answers leave by the interface whose address
/// they come from (ip-rule(8)), as they must where the routers of two networks check sources.
struct LabNetwork: Sendable {
    let host: Int
    let interface: Int

    func address(_ end: Int) -> String { "10.\(77 + interface).\(host).\(end)" }
    func address6(_ end: Int) -> String { "fd\(77 + interface):\(host)::\(end)" }

    var address: String { address(2) }
    var address6: String { address6(2) }
    var prefix: String { address(0) + "/24" }
    var prefix6: String { address6(0) + "/64" }

    /// What the interface is called on the host, and its other end on the router.
    var hostInterface: String { "eth\(interface)" }
    var routerInterface: String { interface == 0 ? "h\(host)" : "h\(host)-\(interface)" }

    /// The names of a path's two ends, where the path is.
    var nearEnd: String { "near\(host)-\(interface)" }
    var farEnd: String { "far\(host)-\(interface)" }

    /// The number of the routing table for what leaves from this interface's address.
    private var table: Int { 100 + interface }

    /// Commands for `ip -batch` that give the router its addresses.
    var routerAddresses: String {
        """
        address add \(address(1))/24 dev \(routerInterface)
        address add \(address6(1))/64 dev \(routerInterface)
        link set \(routerInterface) up

        """
    }

    /// Commands for `ip -batch` that give the host the addresses that end in `end`, and its routes.
    func hostAddresses(_ end: Int) -> String {
        """
        address replace \(address(end))/24 dev \(hostInterface)
        link set \(hostInterface) up
        address replace \(address6(end))/64 dev \(hostInterface)

        """ + routes
    }

    /// Commands for `ip -batch` that give the host its routes, when it has its address; repeated, they change nothing.
    private var routes: String {
        """
        route replace default via \(address(1)) dev \(hostInterface) metric \(100 + interface)
        route replace ::/0 via \(address6(1)) dev \(hostInterface) metric \(100 + interface)
        route replace default via \(address(1)) dev \(hostInterface) table \(table)
        route replace ::/0 via \(address6(1)) dev \(hostInterface) table \(table)

        """
    }

    /// Arguments for `ip` that make an address of this network choose this network's interface.
    var rules: [[String]] {
        [
            ["rule", "add", "from", prefix, "lookup", "\(table)"],
            ["-6", "rule", "add", "from", prefix6, "lookup", "\(table)"],
        ]
    }
}
