import CLinux
import NetworkLab
import TestSupport
import Testing

/// A lab with a host for bare programs and one for each mode, a server that does everything that servers do, and a gateway.
///
/// All clients are 1 ms away from the router: without, an ICMP message comes back while the kernel is still in the call that
/// brought it about, and does not end the attempt then (`tcp_v4_err` of a socket that is owned by its user).
struct DifferentialSite {
    private static let firstPort: UInt16 = 7001
    private let lab: Lab
    private let usl: String

    static func with<Result>(modes: [InterceptionMode], _ body: (DifferentialSite) throws -> Result) throws -> Result {
        let usl = try UnderTest.usl()
        var plan = Lab.Plan(hosts: ["bare"] + modes.map(\.name) + ["gate", "server"])
        plan.faulty = Set(plan.hosts).subtracting(["server"])
        return try Lab.with(plan) { lab in
            let site = DifferentialSite(lab: lab, usl: usl)
            for host in plan.faulty {
                try lab.path(host).set(.delay(.milliseconds(1)))
                // Silence ends after 1 s and 2 s more.
                try lab[host].succeed(["sysctl", "-qw", "net.ipv4.tcp_syn_retries=1"])
                try lab[host].succeed(["ip", "route", "add", "prohibit", "198.51.100.1"])
                try lab[host].succeed(["ip", "route", "add", "unreachable", "198.51.100.2"])
            }
            try site.prepareRouter()
            for host in plan.faulty { try site.serveNames(on: lab[host]) }
            let server = try lab["server"].start(
                ["/usr/bin/python3", ProbeProgram.folder + "/serve.py", "\(firstPort)"])
            try server.waitForOutput("serving")
            _ = try lab["gate"].start([usl, "gateway", "--plain", "--state", "/run/state", "--allow", "*:1-65535"])
            try lab["gate"].waitForListener(port: UnderTest.gatewayPort)
            return try body(site)
        }
    }

    /// What is dropped and rejected on the way, and as often as it is asked for.
    private func prepareRouter() throws {
        try lab.router.succeed(
            ["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"]
                + ["net.ipv4.icmp_msgs_per_sec=100000"])
        try lab.router.loadRules(
            """
            table inet faults {
                chain pass {
                    type filter hook forward priority 0;
                    tcp dport 7010 drop
                    tcp dport 7011 reject with icmpx type host-unreachable
                    tcp dport 7012 reject with icmpx type admin-prohibited
                    tcp dport 7013 reject with icmpx type no-route
                }
            }
            """)
    }

    /// Each host has a name server, which knows no name: whoever asks for one learns so at once.
    private func serveNames(on host: Host) throws {
        let server = try host.start(NameServer.command(at: "127.0.0.1", zone: []))
        try server.waitForOutput("serving")
        try host.succeed([
            "/bin/sh", "-c",
            "echo nameserver 127.0.0.1 > /run/resolv.conf && mount --bind /run/resolv.conf /etc/resolv.conf",
        ])
    }

    /// NAME=ADDRESS:PORT for all that cases connect to.
    private func targets(from host: Host) -> [String] {
        let (server, server6) = (lab["server"].address, lab["server"].address6)
        return [
            "echo4=\(server):7001", "echo6=[\(server6)]:7001", "echo-mapped=[::ffff:\(server)]:7001",
            "greeting4=\(server):7002", "reset4=\(server):7003", "abort4=\(server):7004",
            "refused4=\(server):7009", "refused6=[\(server6)]:7009", "refused-mapped=[::ffff:\(server)]:7009",
            "silent4=\(server):7010", "silent6=[\(server6)]:7010",
            "unreachable4=\(server):7011", "unreachable6=[\(server6)]:7011", "filtered4=\(server):7012",
            // The router says that it has no way there; this host is told not to go there, or that there is no way.
            "no-route4=\(server):7013", "no-route6=[\(server6)]:7013",
            "prohibited4=198.51.100.1:80", "no-way4=198.51.100.2:80",
            "zero4=\(server):0", "multicast4=224.0.0.9:80", "broadcast4=255.255.255.255:80",
            "own4=\(host.address):0", "own6=[\(host.address6)]:0", "own-mapped=[::ffff:\(host.address)]:0",
        ]
    }

    /// What stands before a program in a mode.
    private func prefix(_ mode: InterceptionMode?) -> [String] {
        guard let mode else { return [] }
        let gateway = mode.hasGateway ? ["--gateway", "\(lab["gate"].address):\(UnderTest.gatewayPort)"] : []
        return [usl, "--plain", "--state", "/run/state"] + gateway + mode.options + ["--"]
    }

    /// Starts a program on the host of a mode, or on the bare one.
    ///
    /// - Parameter words: what is behind the command, if not all targets.
    func start(_ command: [String], in mode: InterceptionMode?, targets words: [String]? = nil) throws -> LabProcess {
        let host = lab[mode?.name ?? "bare"]
        return try host.start(prefix(mode) + command + (words ?? targets(from: host)))
    }

    /// Address and port of the server that sends back what it gets.
    var echoServer: [String] { [lab["server"].address, "\(Self.firstPort)"] }

    /// Waits for a program's end, which must be a good one.
    func report(of process: LabProcess, within limit: Duration = .seconds(60)) throws -> ProbeReport {
        let status = try process.wait(limit)
        #expect(status == .success, "\(process.command): \(process.standardError)")
        return ProbeReport(process.standardOutput)
    }
}
