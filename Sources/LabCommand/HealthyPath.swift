import NetworkLab

/// What USL costs a connection where nothing is wrong, in each way to take it: time, and packets at the server.
struct HealthyPath {
    /// What stands before the program.
    private struct Way {
        let name: String
        let prefix: [String]
    }

    private struct Row {
        let way: Way
        let blocks: Bool
        var sockets: [Int] = []
        var calls: [Int] = []
        var firstBytes: [Int] = []
        var packets = 0
        var openings = 0
    }

    static func measure(usl: String, runs: Int, connections: Int) throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            let (client, server) = (lab["client"], lab["server"])
            let tool = try LabTool.path()
            try server.start([tool, "connect-peer", "serve", "7000"]).waitForOutput("serving")
            try server.loadRules(counters)
            let gateway = try server.start(
                [
                    usl, "gateway", "--plain", "--state", "/run/state", "--listen", "\(server.address):7118", "--allow",
                    "*:7000",
                ])
            try server.waitForListener(port: 7118)
            let session = ["--plain", "--state", "/run/state", "--gateway", "\(server.address):7118"]
            let ways =
                [Way(name: "bare", prefix: []), Way(name: "usl", prefix: [usl, "-q", "--"])]
                + ["preload", "donate", "seccomp"].flatMap { mode in
                    let kinds = [
                        ("direct", ["--treatment", "direct"]), ("shim", ["--treatment", "shim"]), ("session", session),
                    ]
                    return kinds.map { name, options in
                        Way(name: "\(mode), \(name)", prefix: [usl, "-q", "--intercept", mode] + options + ["--"])
                    }
                }
            func command(_ row: Row, _ count: Int) -> [String] {
                row.way.prefix + [tool, "connect-peer", "run", server.address, "7000", "\(count)"]
                    + (row.blocks ? [] : ["--nonblocking"])
            }
            var rows = [true, false].flatMap { blocks in ways.map { Row(way: $0, blocks: blocks) } }
            // What is there is found out once.
            for row in rows { try client.succeed(command(row, 10)) }
            // In turn, so that whatever else the machine does concerns all of them.
            for _ in 0..<runs {
                for index in rows.indices {
                    try server.succeed(["nft", "reset", "counters"])
                    let output = try client.succeed(command(rows[index], connections))
                    guard let costs = ConnectPeer.Costs(output) else { throw MeasurementError(text: output) }
                    rows[index].sockets.append(costs.socket)
                    rows[index].calls.append(costs.call)
                    rows[index].firstBytes.append(costs.firstByte)
                    rows[index].packets += try count("arrivals", at: server)
                    rows[index].openings += try count("openings", at: server)
                }
            }
            show("| | | socket() | connect() | to the first byte | SYNs a connection | packets a connection |")
            show("|---|---|---|---|---|---|---|")
            for row in rows {
                let cells = [
                    row.blocks ? "blocks" : "does not block", row.way.name, microseconds(row.sockets),
                    microseconds(row.calls),
                    microseconds(row.firstBytes), share(row.openings, runs * connections),
                    share(row.packets, runs * connections),
                ]
                show("| \(cells.joined(separator: " | ")) |")
            }
            if gateway.ended != nil { throw MeasurementError(text: gateway.standardError) }
        }
    }

    /// All that arrives at the server, whatever its port.
    private static let counters = """
        table inet cost {
            counter arrivals {}
            counter openings {}
            chain arrive {
                type filter hook prerouting priority raw;
                counter name arrivals
                tcp flags & (syn | ack) == syn counter name openings
            }
        }
        """

    private static func count(_ counter: String, at server: Host) throws -> Int {
        let words = try server.succeed(["nft", "list", "counter", "inet", "cost", counter]).split { $0.isWhitespace }
        guard let place = words.lastIndex(of: "packets"), place + 1 < words.count, let count = Int(words[place + 1])
        else { throw MeasurementError(text: "nft has no counter \(counter)") }
        return count
    }

    private static func microseconds(_ values: [Int]) -> String { "\((median(values) + 500) / 1000) µs" }

    private static func share(_ count: Int, _ all: Int) -> String {
        let thousandths = (count * 1000 + all / 2) / all
        return "\(thousandths / 1000)." + String("\(1000 + thousandths % 1000)".dropFirst())
    }
}

/// A program of a measurement has not said what it measured.
struct MeasurementError: Error, CustomStringConvertible {
    let text: String
    var description: String { "not a measurement: \(text)" }
}
