import NetworkLab

/// A way to carry a ping-pong through faults.
final class Contender {
    enum Kind: String, CaseIterable {
        case plain = "plain TCP"
        case multipath = "MPTCP, two paths"
        case secureShell = "ssh -L"
        case session = "USL"
        case failover = "USL, two paths"
        case mirror = "USL, mirror"
    }

    private static let multipathPort: UInt16 = 7001
    private static let tunnelPort: UInt16 = 7002

    let kind: Kind
    private let site: FaultSite
    private let shell: SecureShell
    private var process: LabProcess?
    private var tunnel: LabProcess?

    init(_ kind: Kind, _ site: FaultSite, _ shell: SecureShell) {
        self.kind = kind
        self.site = site
        self.shell = shell
    }

    /// Starts what the contenders need of the server.
    static func prepare(_ site: FaultSite) throws -> SecureShell {
        let (client, server) = (site.lab["client"], site.lab["server"])
        for host in [client, server] {
            try host.succeed(["ip", "mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2"])
        }
        for interface in 0..<2 {
            try client.succeed([
                "ip", "mptcp", "endpoint", "add", client.address(interface), "dev", "eth\(interface)", "subflow",
            ])
        }
        let multipath = try server.start(
            ["mptcpize", "run", try LabTool.path(), "traffic", "serve", "\(multipathPort)"])
        try multipath.waitForOutput("serving")
        return try SecureShell(from: client, to: server)
    }

    /// What its program has told since it was started.
    var report: TrafficReport { TrafficReport(process?.standardOutput ?? "") }

    /// Whether the connection has ended. A program that is told of no error is alive.
    var hasDied: Bool { process?.ended != nil }

    /// Starts it anew if it is not running, and waits until it is.
    func ensureRunning() throws {
        if process == nil || hasDied { try start() }
        let begin = labNow()
        try waitUntil("trip of \(kind.rawValue)", within: .seconds(20)) { report.lastTick > begin || hasDied }
        if hasDied { throw LabError.system(call: kind.rawValue, reason: process?.standardOutput ?? "") }
    }

    func stop() {
        process?.terminate()
        tunnel?.terminate()
        process = nil
        tunnel = nil
    }

    private func start() throws {
        stop()
        let server = site.lab["server"].address
        let order = TrafficOrder.pingPong(
            id: UInt64(Kind.allCases.firstIndex(of: kind) ?? 0) + 1, for: .seconds(3600), pause: .milliseconds(1))
        func traffic(_ host: String, _ port: UInt16) throws -> [String] {
            [
                try LabTool.path(), "traffic", "run", "--notable-microseconds", "300", "--tick-milliseconds", "20",
                host,
                "\(port)", order.text,
            ]
        }
        let paths = ["--source", "eth0", "--source", "eth1"]
        let command: [String]
        switch kind {
        case .plain: command = try traffic(server, FaultSite.trafficPort)
        case .multipath: command = try ["mptcpize", "run"] + traffic(server, Self.multipathPort)
        case .secureShell:
            tunnel = try shell.forward(Self.tunnelPort, to: FaultSite.trafficPort)
            command = try traffic("127.0.0.1", Self.tunnelPort)
        case .session: command = try site.prefix(["-q"]) + traffic(server, FaultSite.trafficPort)
        case .failover: command = try site.prefix(["-q"] + paths) + traffic(server, FaultSite.trafficPort)
        case .mirror:
            command = try site.prefix(["-q", "--links", "mirror"] + paths) + traffic(server, FaultSite.trafficPort)
        }
        process = try site.client.start(command)
    }
}
