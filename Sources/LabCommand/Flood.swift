import Glibc
import Kernel
import NetworkLab

/// A flood of strangers at a gateway, while sessions of others go on, come back and are opened.
///
/// The sessions belong to one host, the flood to another, which has many addresses. Everybody's bytes are checked.
struct Flood {
    struct Options {
        var usl: String
        var connections: Int
        /// From how many addresses.
        var addresses: UInt32
        /// No connection of the flood is begun after that.
        var limit: Duration
    }

    private let options: Options
    private let lab: Lab
    private var findings: [String] = []

    /// - Returns: the exit status.
    static func run(_ options: Options) throws -> Int32 {
        try Lab.with(hosts: ["client", "server", "stranger"]) { lab in
            var flood = Flood(options: options, lab: lab)
            try flood.run()
            for finding in flood.findings { show("wrong: \(finding)") }
            show(flood.findings.isEmpty ? "nobody was hurt" : "somebody was hurt")
            return flood.findings.isEmpty ? 0 : 1
        }
    }

    private mutating func run() throws {
        let (client, server, stranger) = (lab["client"], lab["server"], lab["stranger"])
        let tool = try LabTool.path()
        // About as long as the flood takes on two cores.
        let seconds = max(3, options.connections / 4000)
        let peer = try server.start([tool, "traffic", "serve", "7000"])
        try peer.waitForOutput("serving")
        let gateway = try server.start([
            options.usl, "gateway", "--state", "/run/state", "--allow", "*:7000",
        ])
        try server.waitForListener(port: 7117)
        try stranger.succeed(
            ["ip", "-batch", "-"],
            input: .bytes(
                Array((0..<options.addresses).map { "address add \(address($0))/24 dev eth0\n" }.joined().utf8)))
        let prefix = [options.usl, "-q", "--state", "/run/state", "--gateway", "\(server.address):7117", "--"]
        func traffic(_ orders: [TrafficOrder]) -> [String] {
            prefix + [tool, "traffic", "run", server.address, "7000"] + orders.map(\.text)
        }
        let long = try client.start(
            traffic([
                .trickle(id: 1, for: .seconds(seconds)),
                .pingPong(id: 3, for: .seconds(seconds), pause: .milliseconds(1)),
                .bulk(id: 2, up: seconds * 100_000_000, down: seconds * 50_000_000),
            ]))
        try waitUntil("sessions", within: .seconds(5)) { () throws(LabError) in
            try server.succeed([options.usl, "status"]).contains("active")
        }
        let before = memory(of: server)
        let begin = labNow()
        let flood = try stranger.start([
            tool, "flood-from", "\(address(0))", "\(options.addresses)", "\(server.address)",
            "\(options.connections)", "\(options.limit.components.seconds)",
        ])
        try flood.waitForOutput("flooding")
        var (opened, slowest, resets, highest) = (0, UInt64(0), 0, before)
        var reports: [TrafficReport] = []
        repeat {
            // Links of the client come back in the middle of it.
            if opened % 4 == 1 {
                try client.succeed(["ss", "-H", "-K", "-t", "state", "established", "( dport = :7117 )"])
                resets += 1
            }
            let start = labNow()
            let outcome = try client.run(
                traffic([.pingPong(id: UInt64(100 + opened), for: .milliseconds(20))]), within: .seconds(40))
            slowest = max(slowest, labNow() - start)
            if outcome.status != .success { findings.append("a new session: \(outcome.errors)\(outcome.output)") }
            reports.append(TrafficReport(outcome.output))
            opened += 1
            highest = max(highest, memory(of: server))
        } while flood.ended == nil
        let lasted = labNow() - begin
        let made = flood.standardOutput.split(separator: "\n").filter { $0.hasPrefix("made ") }
            .reduce(0) { $0 + (Int($1.dropFirst(5)) ?? 0) }
        let status = try server.succeed([options.usl, "status"])
        if try long.wait(.seconds(120)) != .success {
            findings.append("the sessions of before: \(long.standardError)\(long.standardOutput)")
        }
        reports.append(TrafficReport(long.standardOutput))
        try waitUntil("the server's end", within: .seconds(5)) {
            TrafficReport(peer.standardOutput).connections.count >= opened + 3
        }
        let served = TrafficReport(peer.standardOutput)
        for report in reports {
            findings += TrafficReport.findings(client: report, server: TrafficReport(of: served, report))
        }
        if gateway.ended != nil { findings.append("the gateway has ended: \(gateway.standardError)") }
        // A kernel whose queue is full lets some wait for longer than they do.
        if made < options.connections / 100 * 95 {
            findings.append("\(made) of \(options.connections) connections were made in the time that there was")
        }
        let pause = reports.last?.connections.values.map(\.longestPause).max() ?? 0
        show("\(made) connections from \(options.addresses) addresses in \(lasted / 1_000_000) ms")
        show(
            "\(opened) sessions opened meanwhile; the slowest program took \(slowest / 1_000_000) ms from start to end")
        show("\(resets) times all links were reset; the longest pause of a stream was \(pause / 1_000_000) ms")
        show("the gateway's memory: \(before) kB before, \(highest) kB at most")
        show("the gateway's log: \(gateway.standardError.split(separator: "\n").count) lines")
        for line in status.split(separator: "\n") where line.hasPrefix("gateway ") { show("\(line)") }
    }

    private func address(_ number: UInt32) -> String { "10.77.3.\(3 + number)" }

    /// Of all its processes, in kilobytes.
    private func memory(of host: Host) -> Int {
        host.processes(called: "usl").reduce(0) { $0 + (residentMemory(of: $1) ?? 0) }
    }
}
