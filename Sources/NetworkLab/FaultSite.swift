import CLinux
import Synchronization

/// A client and a server with a gateway, traffic between them, and everything that faults need: a path with faults behind
/// each of the client's interfaces and, if wanted, a router that translates the client's addresses.
public final class FaultSite: Sendable {
    public struct Options: Sendable {
        public var interfaces = 1
        public var isTranslated = false
        /// The paths without faults.
        public var calm = PathFaults.rate(.megabits(100))
        /// Whether links are plain instead of TLS.
        public var isPlain = false
        /// Whether the server's kernel takes TCP Fast Open; every client's dials with it by default.
        public var takesFastOpen = false
        /// Further options of `usl`, and of `usl gateway`.
        public var clientOptions: [String] = []
        public var gatewayOptions: [String] = []
        public var seed: UInt64 = 1

        public init() {}
    }

    public static let trafficPort: UInt16 = 7000
    public static let gatewayPort: UInt16 = 7117

    public let lab: Lab
    private let usl: String
    private let options: Options
    private let translation: AddressTranslation?
    private let server: LabProcess
    public let gateway: LabProcess
    private let state: Mutex<State>

    private struct State {
        /// The last part of the client's address on each interface.
        var ends: [Int]
        var resets = 0
    }

    public var client: Host { lab["client"] }

    /// Makes a site and lends it to `body`.
    ///
    /// - Parameter usl: the path of the command.
    public static func with<Result>(
        usl: String, _ options: Options = Options(), _ body: (FaultSite) throws -> Result
    ) throws -> Result {
        var plan = Lab.Plan(hosts: ["client", "server"])
        plan.interfaces = ["client": options.interfaces]
        plan.faulty = ["client"]
        plan.seed = options.seed
        return try Lab.with(plan) { lab in try body(FaultSite(lab: lab, usl: usl, options)) }
    }

    private init(lab: Lab, usl: String, _ options: Options) throws(LabError) {
        self.lab = lab
        self.usl = usl
        self.options = options
        for interface in 0..<options.interfaces { try lab.path("client", interface).set(options.calm) }
        translation = options.isTranslated ? try lab.translate("client", to: "server") : nil
        server = try lab["server"].start([try LabTool.path(), "traffic", "serve", "\(Self.trafficPort)"])
        try server.waitForOutput("serving")
        if options.takesFastOpen { try lab["server"].takeFastOpen() }
        gateway = try lab["server"].start(Self.gatewayCommand(usl, options))
        state = Mutex(State(ends: Array(repeating: 2, count: options.interfaces)))
        try lab["server"].waitForListener(port: Self.gatewayPort)
    }

    private static func gatewayCommand(_ usl: String, _ options: Options) -> [String] {
        [usl, "gateway"] + security(options) + ["--allow", "*:1-65535"] + options.gatewayOptions
    }

    /// Each host has a state directory of its own.
    private static func security(_ options: Options) -> [String] {
        (options.isPlain ? ["--plain"] : []) + ["--state", "/run/state"]
    }

    // MARK: - Traffic

    /// What stands before a command so that its connections are sessions.
    public var prefix: [String] { prefix(options.clientOptions) }

    /// The same with other options of `usl`.
    public func prefix(_ options: [String]) -> [String] {
        [usl, "--gateway", "\(lab["server"].address):\(Self.gatewayPort)"] + Self.security(self.options) + options + [
            "--"
        ]
    }

    /// Starts connections to the server.
    ///
    /// - Parameter prefix: what stands before the program; by default, what makes its connections sessions.
    public func start(_ orders: [TrafficOrder], prefix: [String]? = nil) throws(LabError) -> LabProcess {
        let program = [try LabTool.path(), "traffic", "run", lab["server"].address, "\(Self.trafficPort)"]
        return try client.start((prefix ?? self.prefix) + program + orders.map(\.text))
    }

    /// Starts random connections to the server: `connections` at a time, for some seconds.
    public func startMix(seed: UInt64, connections: Int, seconds: Int) throws(LabError) -> LabProcess {
        try client.start(
            prefix + [
                try LabTool.path(), "traffic", "mix", lab["server"].address, "\(Self.trafficPort)", "--seed", "\(seed)",
                "--connections", "\(connections)", "--seconds", "\(seconds)",
            ])
    }

    /// What the server of the traffic has told so far.
    public var serverReport: TrafficReport { TrafficReport(server.standardOutput) }

    /// Every session of both ends as `usl status --json` tells it.
    public func status(of host: String) throws(LabError) -> String {
        try lab[host].succeed([usl, "status", "--json"], within: .seconds(10))
    }

    // MARK: - Faults

    /// Lets a fault happen on an interface, for as long as it lasts.
    public func strike(_ fault: Fault, _ interface: Int = 0, for duration: Duration) throws(LabError) {
        try begin(fault, interface)
        if fault.isMomentary { return }
        pause(duration)
        try end(fault, interface)
    }

    /// Begins a fault; the momentary ones are over when it returns.
    public func begin(_ fault: Fault, _ interface: Int = 0) throws(LabError) {
        let path = lab.path("client", interface)
        switch fault {
        case .reset: try reset()
        case .silenceOut: try path.set(.silence, .out)
        case .silenceBack: try path.set(.silence, .back)
        case .silence: try path.set(.silence)
        case .loss5: try path.set(calm { $0.loss = 0.05 })
        case .loss30: try path.set(calm { $0.loss = 0.3 })
        case .reordering:
            try path.set(
                calm {
                    $0.reordering = 0.1
                    $0.duplication = 0.02
                })
        case .rateFall:
            try path.set(
                calm { calm in
                    let rate = (calm.rate ?? .megabits(100)).bitsPerSecond / 100
                    calm.rate = Lab.Rate(bitsPerSecond: rate)
                    calm.queueBytes = 64 * 1024
                })
        case .largePackets: try path.set(calm { $0.largestPacket = 1000 })
        case .interfaceDown: try client.takeDown(interface)
        case .addressChange: try client.removeAddresses(interface)
        case .rebinding: try translated().rebind()
        case .outerAddress: try translated().move()
        case .forgetting: try translated().forget()
        case .agentKilled: try kill(agents: true, gateway: false)
        case .gatewayKilled: try kill(agents: false, gateway: true)
        case .bothKilled: try kill(agents: true, gateway: true)
        case .agentStopped: for pid in agents() { CLinux.kill(pid, SIGSTOP) }
        case .gatewayStopped: if let pid = gatewayWorker() { CLinux.kill(pid, SIGSTOP) }
        case .gatewayReplaced:
            try lab["server"].succeed(Self.gatewayCommand(usl, options) + ["--replace"])
        case .agentReplaced:
            let script = """
                for keeper in $(grep -l '^usl-keeper$' /proc/[0-9]*/comm | cut -d/ -f3); do
                    # One that has ended, and that nobody has waited for, has no command line any more (proc_pid_cmdline(5)).
                    grep -q . "/proc/$keeper/cmdline" || continue
                    "$1" agent --replace "$keeper" || exit 1
                done
                """
            try client.succeed(["/bin/sh", "-c", script, "replace", usl])
        }
    }

    /// Ends a fault that lasts.
    public func end(_ fault: Fault, _ interface: Int = 0) throws(LabError) {
        switch fault {
        case .silenceOut, .silenceBack, .silence, .loss5, .loss30, .reordering, .rateFall, .largePackets:
            try lab.path("client", interface).set(options.calm)
        case .interfaceDown:
            try client.bringUp(interface, end: state.withLock { $0.ends[interface] })
        case .addressChange:
            let end = state.withLock { state in
                state.ends[interface] = state.ends[interface] % 200 + 1
                // 1 is the router's.
                if state.ends[interface] == 1 { state.ends[interface] = 2 }
                return state.ends[interface]
            }
            try client.bringUp(interface, end: end)
        case .agentStopped: for pid in agents() { CLinux.kill(pid, SIGCONT) }
        case .gatewayStopped: if let pid = gatewayWorker() { CLinux.kill(pid, SIGCONT) }
        default: break
        }
    }

    private func calm(_ change: (inout PathFaults) -> Void) -> PathFaults {
        var faults = options.calm
        change(&faults)
        return faults
    }

    private func translated() throws(LabError) -> AddressTranslation {
        guard let translation else { preconditionFailure("the site was made without translation") }
        return translation
    }

    private func reset() throws(LabError) {
        let host = state.withLock { state in
            state.resets += 1
            return state.resets % 2 == 1 ? "client" : "server"
        }
        let port = Self.gatewayPort
        try lab[host].configure(
            .ss, ["-H", "-n", "-K", "-t", "state", "connected", "( sport = :\(port) or dport = :\(port) )"])
    }

    /// Aborts every connection between the client and the server, those of sessions and all others, at the client.
    public func resetEverything() throws(LabError) {
        try client.configure(.ss, ["-H", "-n", "-K", "-t", "state", "connected", "dst", lab["server"].address])
    }

    // MARK: - Processes

    /// The agents' processes, as this process sees them.
    public func agents() -> [Int32] { client.processes(called: "usl-agent") }

    /// The process that has the gateway's sessions: the keeper's child.
    public func gatewayWorker() -> Int32? { gateway.pid.flatMap { firstChild(of: $0) } }

    private func kill(agents killAgents: Bool, gateway killGateway: Bool) throws(LabError) {
        let pids = (killAgents ? agents() : []) + (killGateway ? [gatewayWorker()].compactMap(\.self) : [])
        guard !pids.isEmpty else { throw .system(call: "kill", reason: "there is no such process") }
        for pid in pids { CLinux.kill(pid, SIGKILL) }
    }
}
