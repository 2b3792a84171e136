import NetworkLab

/// Where contenders carry a client's connections to a server: all of them run here at the same time, and all but one of them idle.
struct Site {
    /// The client's host and the server's.
    let near: Host
    let far: Host
    /// Where the far ends of relays are.
    let farAddress: String
    /// The same for links that shall be encrypted: none of loopback.
    let linkAddress: String
    /// A host that is reached from `near` by a network interface, for tunnels of packets.
    let beyond: Host
    /// The command to measure.
    let usl: String
    /// This program.
    let tool: String

    static let loadPort: UInt16 = 7000
    static let multipathPort: UInt16 = 7001

    /// Everything on one host: relays reach each other by loopback.
    static func onLoopback(usl: String, _ body: (Site) throws -> Void) throws {
        try Lab.with(hosts: ["machine", "beyond"]) { lab in
            let (machine, beyond) = (lab["machine"], lab["beyond"])
            try machine.succeed(["ip", "address", "add", "10.77.9.1/32", "dev", "lo"])
            // Loopback needs no pacing, which bbr does: it would slow down those relays that do not choose for themselves.
            for host in [machine, beyond] {
                try host.succeed(["/bin/sh", "-c", "echo reno > /proc/sys/net/ipv4/tcp_congestion_control"])
                // Many short connections, one after the other.
                try host.succeed([
                    "sysctl", "-qw", "net.ipv4.ip_local_port_range=10000 65000", "net.core.somaxconn=4096",
                ])
            }
            let site = Site(
                near: machine, far: machine, farAddress: "127.0.0.1", linkAddress: "10.77.9.1", beyond: beyond,
                usl: usl, tool: try LabTool.ownExecutable())
            try site.serve(machine)
            try site.serve(beyond)
            try body(site)
        }
    }

    /// Two hosts that are far from each other: 50 ms there and back, 1 Gbit/s, and room for a round trip's bytes in the queue.
    static func onLongPath(usl: String, _ body: (Site) throws -> Void) throws {
        var plan = Lab.Plan(hosts: ["client", "server"])
        plan.faulty = ["client"]
        try Lab.with(plan) { lab in
            var path = PathFaults.rate(.megabits(1000), queueBytes: 6_250_000)
            path.delay = .milliseconds(25)
            try lab.path("client").set(path)
            let (client, server) = (lab["client"], lab["server"])
            // The default of 4 MiB, half of which is the kernel's own, would be the bound for everybody.
            for host in [client, server] {
                try host.succeed([
                    "sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 33554432", "net.ipv4.tcp_rmem=4096 131072 33554432",
                ])
            }
            let site = Site(
                near: client, far: server, farAddress: server.address, linkAddress: server.address, beyond: server,
                usl: usl, tool: try LabTool.ownExecutable())
            try site.serve(server)
            try body(site)
        }
    }

    private func serve(_ host: Host) throws {
        try host.start([tool, "load", "serve", "\(Self.loadPort)"]).waitForOutput("serving")
    }
}
