import CLinux

/// Hosts in network namespaces, with a router between them on which attacks run.
///
///     client ── h1 ┐        ┌ h2 ── server
///     10.77.1.2    └ router ┘       10.77.2.2
///     fd77:1::2                     fd77:2::2
///
/// A host may have further interfaces (10.78.1.2, fd78:1::2, …), and behind an interface may be a path with faults.
///
/// Nothing has a global name, so labs never collide, and nothing outlives this process (see `Host`). An ordinary user's
/// lab lies in a user namespace, where he is root.
public final class Lab: Sendable {
    /// A limit for each direction of each path, kept by a token bucket at the router (tc-tbf(8)).
    public struct Rate: Sendable, Equatable {
        let bitsPerSecond: Int

        public static func megabits(_ count: Int) -> Rate { Rate(bitsPerSecond: count * 1_000_000) }
    }

    /// What a lab is made of, where it is more than hosts with one interface each.
    public struct Plan: Sendable {
        /// Every host knows all names.
        public var hosts: [String]
        /// How many interfaces a host has, each on a network of its own; 1 unless said.
        public var interfaces: [String: Int] = [:]
        /// The hosts each of whose interfaces has a `Path` behind it. Such paths are good to about 1 Gbit/s.
        public var faulty: Set<String> = []
        /// What chance on those paths comes from.
        public var seed: UInt64 = 1
        /// Without one, paths are as fast as the machine.
        public var rate: Rate?

        public init(hosts: [String]) { self.hosts = hosts }
    }

    public let router: Host
    private let wire: Host?
    private let hosts: [Host]
    private let paths: [String: [Path]]

    /// Makes a lab, lends it to `body`, and ends it with all that still runs in it.
    ///
    /// - Parameters:
    ///   - names: the hosts. Every host knows all names.
    ///   - rate: without one, paths are as fast as the machine.
    public static func with<Result>(
        hosts names: [String], rate: Rate? = nil, _ body: (Lab) throws -> Result
    ) throws -> Result {
        var plan = Plan(hosts: names)
        plan.rate = rate
        return try with(plan, body)
    }

    /// Makes a lab, lends it to `body`, and ends it with all that still runs in it.
    public static func with<Result>(_ plan: Plan, _ body: (Lab) throws -> Result) throws -> Result {
        let lab = try Lab(plan)
        defer { lab.close() }
        return try body(lab)
    }

    private init(_ plan: Plan) throws(LabError) {
        // What is missing is told before anything is made.
        for tool in [Tool.unshare, .nsenter, .ip] { _ = try tool.located() }
        if plan.rate != nil { _ = try Tool.tc.located() }

        let numbered = plan.hosts.enumerated().map { (name: $1, number: $0 + 1) }
        router = try Host(name: "router", number: 0, names: numbered, owner: nil)
        try router.succeed([
            "/bin/sh", "-c",
            "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        ])
        wire = plan.faulty.isEmpty ? nil : try Host(name: "wire", number: 0, names: [], owner: router)
        // The kernel there shall say nothing of its own.
        try wire?.succeed(["/bin/sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"])
        var hosts: [Host] = []
        var paths: [String: [Path]] = [:]
        var seeds = LabChance(seed: plan.seed)
        for (name, number) in numbered {
            let host = try Host(name: name, number: number, names: numbered, owner: router)
            let count = plan.interfaces[name] ?? 1
            for interface in 0..<count {
                let network = LabNetwork(host: number, interface: interface)
                if let wire, plan.faulty.contains(name) {
                    try Lab.join(host, to: router, network, through: wire)
                    let path = try Path(wire: wire, near: network.nearEnd, far: network.farEnd, seed: seeds.next())
                    paths[name, default: []].append(path)
                } else {
                    try Lab.join(host, to: router, network)
                }
                try router.configure(.ip, ["-batch", "-"], input: network.routerAddresses)
                try host.configure(.ip, ["-batch", "-"], input: "link set lo up\n" + network.hostAddresses(2))
                if count > 1 { for rule in network.rules { try host.configure(.ip, rule) } }
                if let rate = plan.rate { try Lab.limit(host, router, network, to: rate) }
            }
            hosts.append(host)
        }
        self.hosts = hosts
        self.paths = paths
    }

    /// Connects a host to the router.
    private static func join(_ host: Host, to router: Host, _ network: LabNetwork) throws(LabError) {
        let (own, other) = (network.routerInterface, network.hostInterface)
        try router.configure(
            .ip, ["-batch", "-"], input: "link add \(own) type veth peer name \(other) netns \(host.initialProcess)\n")
    }

    /// Connects a host to the router by way of `wire`, where a path is to be.
    private static func join(
        _ host: Host, to router: Host, _ network: LabNetwork, through wire: Host
    ) throws(LabError) {
        let (near, far) = (network.nearEnd, network.farEnd)
        try wire.configure(
            .ip, ["-batch", "-"],
            input: """
                link add \(near) type veth peer name \(network.hostInterface) netns \(host.initialProcess)
                link add \(far) type veth peer name \(network.routerInterface) netns \(router.initialProcess)
                link set \(near) arp off up
                link set \(far) arp off up

                """)
        // Else the kernel would hand over dozens of packets as one, to be lost or delayed as one.
        for (place, interface) in [(host, network.hostInterface), (router, network.routerInterface)] {
            try place.configure(.ip, ["link", "set", interface, "gso_max_segs", "1"])
        }
    }

    private static func limit(
        _ host: Host, _ router: Host, _ network: LabNetwork, to rate: Rate
    ) throws(LabError) {
        // The bucket holds 5 ms, and never less than the largest packet, so that none is too large to pass.
        let burst = max(rate.bitsPerSecond / 8 / 200, 70_000)
        for (place, device) in [(router, network.routerInterface), (host, network.hostInterface)] {
            let bucket = ["rate", "\(rate.bitsPerSecond)bit", "burst", "\(burst)", "latency", "20ms"]
            try place.configure(.tc, ["qdisc", "add", "dev", device, "root", "tbf"] + bucket)
        }
    }

    /// The host of that name, which must be one of those that the lab was made with.
    public subscript(name: String) -> Host {
        guard let host = hosts.first(where: { $0.name == name }) else { preconditionFailure("no host \(name)") }
        return host
    }

    /// The path behind an interface of a host that the plan calls faulty.
    public func path(_ name: String, _ interface: Int = 0) -> Path {
        guard let paths = paths[name] else { preconditionFailure("no path behind \(name)") }
        return paths[interface]
    }

    private func close() {
        for host in hosts { host.close() }
        wire?.close()
        router.close()
    }
}
