import CLinux
import Kernel

/// Shows a reset attack: two hosts, a ping-pong and a bulk transfer between them, plain and under USL at the same time,
/// and `tcpkill` on the router between them.
public struct Demo: ~Copyable {
    public struct Options: Sendable {
        /// How long the applications run, in seconds.
        public var seconds = 20

        public init() {}
    }

    /// Runs the demo in a lab of its own and shows it on the standard output.
    ///
    /// - Returns: the exit status: 0 when the attack has reset links of USL and every byte arrived nevertheless, 1 when
    ///   not, 125 when the demo could not run, 130 when it was interrupted.
    public static func run(_ options: Options = Options()) -> Int32 {
        do {
            _ = try Tool.tcpkill.located()
            return try Lab.with(hosts: ["client", "server"], rate: .megabits(100)) { lab in
                let demo = Demo(
                    lab: lab, options: options, usl: try LabTool.ownExecutable(), interruption: try Interruption())
                return try demo.show()
            }
        } catch {
            DemoView.complain("\(error)")
            return 125
        }
    }

    private static let gatewayPort: UInt16 = 7117
    /// How long the attack waits, so that there is something to be seen before it.
    private static let quiet = Duration.seconds(2)
    /// How long an application may take after its time is over; an attack delays the last bytes too.
    private static let grace = Duration.seconds(20)

    private let lab: Lab
    private let options: Options
    private let usl: String
    private let interruption: Interruption

    private func show() throws(LabError) -> Int32 {
        let view = DemoView()
        let client = lab["client"]
        let server = lab["server"]
        var contenders: [Contender] = []
        let gateway = try server.start(
            [
                usl, "gateway", "--state", "/run/state", "--allow", "\(server.address):7003", "--allow",
                "\(server.address):7004",
            ])
        for (index, program) in ["ping", "bulk", "ping", "bulk"].enumerated() {
            let port = UInt16(7001 + index)
            contenders.append(
                Contender(
                    program: program, underUSL: index >= 2, port: port,
                    server: try server.start([usl, "demo-peer", "\(program)-server", "\(port)"])))
            try server.waitForListener(port: port)
        }
        try server.waitForListener(port: Self.gatewayPort)
        for contender in contenders {
            let prefix =
                contender.underUSL
                ? [usl, "--state", "/run/state", "--gateway", "\(server.address):\(Self.gatewayPort)", "--"] : []
            let command = [
                usl, "demo-peer", "\(contender.program)-client", server.address, "\(contender.port)",
                "\(options.seconds)",
            ]
            contender.client = try client.start(prefix + command)
        }
        view.begin(seconds: options.seconds)

        let begin = ContinuousClock.now
        var attack: Attack?
        var resets = 0
        var shownSeconds = 0
        let limit = Duration.seconds(options.seconds) + Self.grace
        while contenders.contains(where: { $0.isRunning }), ContinuousClock.now - begin < limit {
            if interruption.wait(.milliseconds(100)) {
                view.interrupted()
                return 130
            }
            let elapsed = ContinuousClock.now - begin
            if attack == nil, elapsed >= Self.quiet {
                let ports = [7001, 7002, Int(Self.gatewayPort)].map { "tcp port \($0)" }.joined(separator: " or ")
                attack = try lab.attack(.tcpkill(filter: ports))
                view.attackBegins()
            }
            for contender in contenders { contender.observe(elapsed) }
            if Int(elapsed / .seconds(1)) > shownSeconds {
                shownSeconds = Int(elapsed / .seconds(1))
                resets = max(resets, reconnects(on: client))
                view.second(shownSeconds, contenders, resets: resets)
            }
            if let end = gateway.ended {
                throw .failed(command: gateway.command, status: end, errors: gateway.standardError)
            }
        }
        attack?.stop()
        return view.verdict(contenders, resets: resets) ? 0 : 1
    }

    /// How often the sessions of a host's agents have got a new link, as `usl status` tells it.
    private func reconnects(on host: Host) -> Int {
        guard let outcome = try? host.run([usl, "status", "--json"], within: .seconds(2)) else { return 0 }
        return SessionStatus.reconnects(in: outcome.output)
    }
}

/// Turns the signals that end a program into an answer, so that it can tell what it did (signalfd(2)).
///
/// Of the lab nothing would be left without it either: the kernel ends the hosts with the lab's process.
private struct Interruption: ~Copyable {
    private let signals: Descriptor

    init() throws(LabError) {
        var set = SignalSet.blocked
        for signal in [SIGINT, SIGTERM, SIGHUP] { set.insert(signal) }
        set.setAsMask()
        var mask = SignalSet([SIGINT, SIGTERM, SIGHUP]).value
        signals = try labCall("signalfd") { signalfd(-1, &mask, Int32(SFD_CLOEXEC)) }
    }

    /// Waits.
    ///
    /// - Returns: whether a signal came meanwhile.
    borrowing func wait(_ limit: Duration) -> Bool {
        var entry = pollfd(fd: signals.number, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, limit.pollMilliseconds) > 0
    }
}
