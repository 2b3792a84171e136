import CLinux

/// Hosts in network namespaces, with a router between them on which attacks run.
///
///     client ── h1 ┐        ┌ h2 ── server
///     10.77.1.2    └ router ┘       10.77.2.2
///     fd77:1::2                     fd77:2::2
///
/// Nothing has a global name, so labs never collide, and nothing outlives this process (see `Host`). An ordinary user's
/// lab lies in a user namespace, where he is root.
public final class Lab: Sendable {
    /// A limit for each direction of each path, kept by a token bucket at the router (tc-tbf(8)).
    public struct Rate: Sendable {
        let bitsPerSecond: Int

        public static func megabits(_ count: Int) -> Rate { Rate(bitsPerSecond: count * 1_000_000) }
    }

    public let router: Host
    private let hosts: [Host]

    /// Makes a lab, lends it to `body`, and ends it with all that still runs in it.
    ///
    /// - Parameters:
    ///   - names: the hosts. Every host knows all names.
    ///   - rate: without one, paths are as fast as the machine.
    public static func with<Result>(
        hosts names: [String], rate: Rate? = nil, _ body: (Lab) throws -> Result
    ) throws -> Result {
        let lab = try Lab(hosts: names, rate: rate)
        defer { lab.close() }
        return try body(lab)
    }

    private init(hosts names: [String], rate: Rate?) throws(LabError) {
        // What is missing is told before anything is made.
        for tool in [Tool.unshare, .nsenter, .ip] { _ = try tool.located() }
        if rate != nil { _ = try Tool.tc.located() }

        let numbered = names.enumerated().map { (name: $1, number: $0 + 1) }
        router = try Host(name: "router", number: 0, names: numbered, owner: nil)
        try router.succeed([
            "/bin/sh", "-c",
            "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        ])
        var hosts: [Host] = []
        for (name, number) in numbered {
            let host = try Host(name: name, number: number, names: numbered, owner: router)
            try Lab.join(host, number: number, to: router, rate: rate)
            hosts.append(host)
        }
        self.hosts = hosts
    }

    /// Makes the path between a host and the router.
    private static func join(_ host: Host, number: Int, to router: Host, rate: Rate?) throws(LabError) {
        let interface = interface(number)
        try router.configure(
            .ip, ["-batch", "-"],
            input: """
                link add \(interface) type veth peer name eth0 netns \(host.initialProcess)
                address add \(Host.address(number, 1))/24 dev \(interface)
                address add \(Host.address6(number, 1))/64 dev \(interface)
                link set \(interface) up
                """)
        try host.configure(
            .ip, ["-batch", "-"],
            input: """
                link set lo up
                address add \(host.address)/24 dev eth0
                address add \(host.address6)/64 dev eth0
                link set eth0 up
                route add default via \(Host.address(number, 1))
                route add ::/0 via \(Host.address6(number, 1))
                """)
        guard let rate else { return }
        // The bucket holds 5 ms, and never less than the largest packet, so that none is too large to pass.
        let burst = max(rate.bitsPerSecond / 8 / 200, 70_000)
        for (place, device) in [(router, interface), (host, "eth0")] {
            let bucket = ["rate", "\(rate.bitsPerSecond)bit", "burst", "\(burst)", "latency", "20ms"]
            try place.configure(.tc, ["qdisc", "add", "dev", device, "root", "tbf"] + bucket)
        }
    }

    /// The router's interface to a host.
    static func interface(_ number: Int) -> String { "h\(number)" }

    /// The host of that name, which must be one of those that the lab was made with.
    public subscript(name: String) -> Host {
        guard let host = hosts.first(where: { $0.name == name }) else { preconditionFailure("no host \(name)") }
        return host
    }

    private func close() {
        for host in hosts { host.close() }
        router.close()
    }
}
