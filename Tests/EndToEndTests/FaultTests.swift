import CLinux
import Kernel
import NetworkLab
import Testing

/// Streams under every fault that the lab has, with SHA-256 at both ends. Cases mostly wait, so several run at a time.
@Suite(.timeLimit(.minutes(5)))
struct FaultTests {
    /// One connection of each kind: as much as the path takes both ways, ends that read slowly, little at a time, half
    /// closed while the answer comes, question and answer.
    static func streams(seconds: Double) -> [TrafficOrder] {
        var slow = TrafficOrder.bulk(id: 2, up: 1_000_000, down: 1_000_000)
        slow.chunk = 16_384
        slow.clientReadPause = Int(seconds * 1_000_000 / 62)
        slow.serverReadPause = slow.clientReadPause
        var halfClosed = TrafficOrder.trickle(id: 4, for: .seconds(seconds))
        halfClosed.up = 200_000
        halfClosed.clientWritePause = 0
        halfClosed.inTurn = true
        return [
            .bulk(id: 1, up: 12_000_000, down: 12_000_000), slow, .trickle(id: 3, for: .seconds(seconds)), halfClosed,
            .pingPong(id: 5, for: .seconds(seconds), pause: .milliseconds(2)),
        ]
    }

    /// How long a fault lasts, and how often it happens.
    private static func measure(of fault: Fault) -> (length: Duration, times: Int) {
        switch fault {
        case .reset: (.zero, 10)
        case _ where fault.isMomentary: (.zero, 3)
        case .silence: (.seconds(5), 1)
        case .addressChange: (.milliseconds(300), 3)
        case .agentStopped, .gatewayStopped: (.milliseconds(1500), 1)
        default: (.seconds(2), 1)
        }
    }

    @Test(arguments: Fault.allCases)
    func streamsSurvive(_ fault: Fault) async throws {
        let usl = try UnderTest.usl()
        try await Lanes.shared.run {
            var options = FaultSite.Options()
            options.isTranslated = fault.needsTranslation
            return try FaultSite.with(usl: usl, options) { site in
                let client = try site.start(Self.streams(seconds: 3))
                let (length, times) = Self.measure(of: fault)
                do {
                    try site.waitForTraffic(client)
                    for _ in 0..<times {
                        try site.strike(fault, for: length)
                        if times > 1 { try site.waitForTraffic(client) }
                    }
                    return try site.findings(client, within: .seconds(60))
                } catch {
                    return ["\(error)", client.standardOutput, client.standardError, site.situation]
                }
            }
        }
    }
}

/// What looks like a dead link and is none: no session gets another link.
@Suite(.timeLimit(.minutes(5)))
struct FalseAlarmTests {
    /// Runs connections under what looks like a fault; tells how often sessions have got another link.
    private func reconnects(
        calm: PathFaults? = nil, orders: [TrafficOrder], _ body: @escaping @Sendable (FaultSite) throws -> Void
    ) async throws {
        let usl = try UnderTest.usl()
        try await Lanes.shared.run {
            var options = FaultSite.Options()
            if let calm { options.calm = calm }
            return try FaultSite.with(usl: usl, options) { site in
                let client = try site.start(orders)
                try waitUntil("sessions", within: .seconds(30)) { () throws(LabError) in
                    SessionStatus.count(in: try site.status(of: "server")) == orders.count
                }
                try body(site)
                let ends = try ["client", "server"].map { SessionStatus.reconnects(in: try site.status(of: $0)) }
                client.signal(SIGCONT)
                client.terminate()
                return ends == [0, 0] ? [] : ["reconnects at client and server: \(ends)"]
            }
        }
    }

    private func rest(_ seconds: Int) { sleep(UInt32(seconds)) }

    @Test func aServerThatDoesNotRead() async throws {
        var order = TrafficOrder.bulk(id: 1, up: 100_000_000, down: 0)
        order.serverReadPause = 60_000_000
        try await reconnects(orders: [order]) { _ in rest(15) }
    }

    @Test func aClientThatDoesNotRead() async throws {
        var order = TrafficOrder.bulk(id: 1, up: 0, down: 100_000_000)
        order.clientReadPause = 60_000_000
        try await reconnects(orders: [order]) { _ in rest(15) }
    }

    @Test func aStoppedApplication() async throws {
        let orders = [
            TrafficOrder.bulk(id: 1, up: 1 << 40, down: 1 << 40), .pingPong(id: 2, for: .seconds(60)),
        ]
        try await reconnects(orders: orders) { site in
            for host in ["client", "server"] {
                let applications = site.lab[host].processes(called: "usl-lab")
                for pid in applications { kill(pid, SIGSTOP) }
                rest(5)
                for pid in applications { kill(pid, SIGCONT) }
                rest(1)
            }
        }
    }

    @Test func bulkOnASlowPath() async throws {
        let orders = [TrafficOrder.bulk(id: 1, up: 1 << 40, down: 1 << 40), .pingPong(id: 2, for: .seconds(60))]
        try await reconnects(calm: .rate(.megabits(1)), orders: orders) { _ in rest(15) }
    }

    @Test func twoSecondsOfRoundTrip() async throws {
        let orders = [TrafficOrder.bulk(id: 1, up: 1 << 40, down: 1 << 40), .pingPong(id: 2, for: .seconds(60))]
        var calm = PathFaults.rate(.megabits(20))
        calm.delay = .seconds(1)
        calm.jitter = .milliseconds(100)
        try await reconnects(calm: calm, orders: orders) { _ in rest(15) }
    }

    @Test func aLoadedMachine() async throws {
        let orders = [
            TrafficOrder.bulk(id: 1, up: 1 << 40, down: 1 << 40), .pingPong(id: 2, for: .seconds(60)),
            .trickle(id: 3, for: .seconds(60)),
        ]
        try await reconnects(orders: orders) { site in
            let burners = try (0..<8).map { _ in try site.client.start(["/bin/sh", "-c", "while :; do :; done"]) }
            rest(10)
            for burner in burners { burner.terminate() }
        }
    }
}

/// Runs a few cases at a time, each on a thread of its own, since what they do blocks.
actor Lanes {
    static let shared = Lanes(width: 4)

    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(width: Int) { free = width }

    /// Runs a case; its findings become issues of the test.
    nonisolated func run(_ body: @escaping @Sendable () throws -> [String]) async throws {
        await enter()
        let result = await withCheckedContinuation { continuation in
            BlockingThread.start { continuation.resume(returning: Result { try body() }) }
        }
        await leave()
        for finding in try result.get() { Issue.record("\(finding)") }
    }

    private func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}

/// A thread that may block.
private enum BlockingThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    static func start(_ run: @escaping @Sendable () -> Void) {
        var handle = pthread_t()
        pthread_create(
            &handle, nil,
            { context in
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, Unmanaged.passRetained(Body(run)).toOpaque())
        pthread_detach(handle)
    }
}

extension FaultSite {
    /// What can be told of sessions that stand still.
    var situation: String {
        let states = ["client", "server"].map { host in
            let sockets = (try? lab[host].run(["ss", "-tnoi"]).output) ?? "no sockets"
            // Where each thread of USL's waits: a loop that does not, or not in epoll, explains much.
            let script = """
                for thread in /proc/[0-9]*/task/[0-9]*; do
                    case $(cat $thread/comm) in
                    usl*) echo "$thread $(cat $thread/comm) $(cat $thread/wchan) $(cut -d' ' -f1-4 $thread/syscall)" ;;
                    esac
                done
                """
            let threads = (try? lab[host].run(["/bin/sh", "-c", script]).output) ?? "no threads"
            return "\((try? status(of: host)) ?? "\(host) does not answer")\n\(threads)\n\(sockets)"
        }
        let counts = (try? lab.path("client").counts()).map { "\($0)" } ?? "the path does not answer"
        return states.joined(separator: "\n") + "\n\(counts)\n\(gateway.standardError)"
    }

    /// Waits until packets flow both ways, or the client has ended.
    func waitForTraffic(_ client: LabProcess) throws {
        let before = try lab.path("client").counts()
        try waitUntil("traffic", within: .seconds(20)) { () throws(LabError) in
            if client.ended != nil { return true }
            let now = try lab.path("client").counts()
            return now.out.passed > before.out.passed + 50 && now.back.passed > before.back.passed + 50
        }
    }

    /// Waits for the client's end; tells what was lost, doubled, changed or not finished.
    func findings(_ client: LabProcess, within limit: Duration) throws -> [String] {
        let end = try client.wait(limit)
        let report = TrafficReport(client.standardOutput)
        // The server sees the end a moment later.
        try? waitUntil("the server's end", within: .seconds(5)) {
            serverReport.connections.count >= report.connections.count
        }
        var findings = TrafficReport.findings(client: report, server: serverReport)
        if end != .success { findings.append("the client \(end): \(client.standardError)") }
        if let end = gateway.ended { findings.append("the gateway \(end): \(gateway.standardError)") }
        return findings
    }
}
