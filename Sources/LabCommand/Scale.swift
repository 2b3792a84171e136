import Glibc
import Kernel
import NetworkLab

/// What many sessions cost one agent and one gateway: memory, processor time while nothing happens, and the time until all of them
/// go on when all of their links have been reset at once.
struct Scale {
    struct Options {
        var usl: String
        var sessions: [Int]
        /// Links over TLS.
        var isEncrypted: Bool
        /// How long nothing happens.
        var idle: Duration
    }

    /// Of a process: two sockets a session, and what an agent keeps free (`Admission`).
    private static func descriptors(_ sessions: Int) -> Int { sessions * 5 / 2 + 500 }

    /// - Returns: the exit status.
    static func run(_ options: Options) throws -> Int32 {
        show(
            "| sessions | opened in | a second | agent, KiB a session | gateway, KiB a session | while active | agent idle, % of a core | gateway idle | round, median | slowest | all links reset: median | 99 % | slowest | lost |"
        )
        show("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        var lost = 0
        for count in options.sessions {
            guard DescriptorLimit.canHave(descriptors(count)) else {
                show("| \(count) | not here: a process may have no \(descriptors(count)) descriptors (ulimit -Hn) |")
                continue
            }
            try Lab.with(hosts: ["client", "server"]) { lab in lost += try measure(count, options, lab) }
        }
        return lost == 0 ? 0 : 1
    }

    private static func measure(_ count: Int, _ options: Options, _ lab: Lab) throws -> Int {
        let (client, server) = (lab["client"], lab["server"])
        let tool = try LabTool.path()
        let most = max(descriptors(count), DescriptorLimit.most)
        let limit = "--nofile=\(most)"
        // The end of each link has a port of its own, and so has each leg.
        for host in [client, server] {
            try host.succeed([
                "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535",
                "net.ipv4.ip_local_reserved_ports=7000,7117,9000", "net.core.somaxconn=65535",
            ])
        }
        let security = options.isEncrypted ? [] : ["--plain"]
        try server.start(["prlimit", limit, tool, "crowd", "serve", "7000"]).waitForOutput("serving")
        let gateway = try server.start(
            ["prlimit", limit, options.usl, "gateway", "--state", "/run/state", "--allow", "*:7000"] + security)
        try server.waitForListener(port: 7117)
        let forward = try client.start(
            [
                "prlimit", limit, options.usl, "forward", "-q", "--state", "/run/state", "--gateway",
                "\(server.address):7117",
            ]
                + security + ["127.0.0.1:9000", "\(server.address):7000"])
        try client.waitForListener(port: 9000)
        let before = (Use(of: client), Use(of: server))
        let crowd = try client.start(["prlimit", limit, tool, "crowd", "run", "127.0.0.1", "9000", "\(count)"])
        try crowd.waitForOutput("connected", within: .seconds(600))
        let opening = crowd.standardOutput.split(separator: " ").last.flatMap { Int($0.prefix { $0.isNumber }) } ?? 0

        let idleBegin = (Use(of: client), Use(of: server))
        rest(until: labNow() + UInt64(options.idle / .nanoseconds(1)))
        let idleEnd = (Use(of: client), Use(of: server))

        let calm = try round(crowd, SIGUSR1)
        let active = try round(crowd, SIGUSR2)
        let busy = (Use(of: client), Use(of: server))
        try client.succeed(["ss", "-H", "-K", "-t", "state", "established", "( dport = :7117 )"])
        let resumed = try round(crowd, SIGUSR1)

        func perSession(_ kilobytes: Int) -> String {
            let tenths = kilobytes * 10 / count
            return "\(tenths / 10).\(tenths % 10)"
        }
        func share(_ from: Use, _ to: Use) -> String {
            let perMille = Int((to.processorTime - from.processorTime) / options.idle * 10_000)
            return "\(perMille / 100)." + String("\(100 + perMille % 100)".dropFirst())
        }
        let cells = [
            "\(count)", milliseconds(opening), "\(count * 1_000_000_000 / max(1, opening))",
            perSession(idleBegin.0.memory - before.0.memory), perSession(idleBegin.1.memory - before.1.memory),
            "\(perSession(busy.0.memory - before.0.memory)), \(perSession(busy.1.memory - before.1.memory))",
            share(idleBegin.0, idleEnd.0), share(idleBegin.1, idleEnd.1),
            milliseconds(calm.median), milliseconds(calm.longest),
            milliseconds(resumed.median), milliseconds(resumed.percentile99), milliseconds(resumed.longest),
            "\(calm.lost + active.lost + resumed.lost)",
        ]
        show("| \(cells.joined(separator: " | ")) |")
        for process in [gateway, forward] where process.ended != nil {
            throw MeasurementError(text: process.standardError)
        }
        return calm.lost + active.lost + resumed.lost
    }

    private static func round(_ crowd: LabProcess, _ signal: Int32) throws -> CrowdClient.Round {
        let before = CrowdClient.Round.count(in: crowd.standardOutput)
        crowd.signal(signal)
        try waitUntil("a round of all sessions", within: .seconds(400)) {
            CrowdClient.Round.count(in: crowd.standardOutput) > before
        }
        guard let round = CrowdClient.Round(lastOf: crowd.standardOutput) else {
            throw MeasurementError(text: crowd.standardOutput)
        }
        return round
    }

    /// What all processes of USL on a host have used.
    private struct Use {
        var memory = 0
        var processorTime = Duration.zero

        init(of host: Host) {
            for name in ["usl", "usl-agent", "usl-keeper", "usl-gateway"] {
                for pid in host.processes(called: name) {
                    memory += residentMemory(of: pid) ?? 0
                    processorTime += NetworkLab.processorTime(of: pid) ?? .zero
                }
            }
        }
    }
}
