import CLinux
import Kernel
import Testing

@Suite("Services and reports of usl")
struct ServiceTests {
    let installation: Installation

    init() throws { installation = try Installation() }

    /// A port of loopback that nobody uses.
    private func freePort() throws -> UInt16 {
        let socket = Descriptor(owning: try check(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)))
        let wildcard = SocketAddress(host: .v4(0x7f00_0001), port: 0)
        try check(wildcard.withSockaddr { usl_bind(socket.number, $0, $1) })
        return try #require(SocketAddress.reading { usl_getsockname(socket.number, $0, $1) }.address).port
    }

    @Test("a gateway ends in order, and a second one on its port is refused", arguments: [SIGTERM, SIGINT])
    func gateway(signal: Int32) throws {
        let command = [
            installation.usl, "gateway", "--listen", "127.0.0.1:\(try freePort())", "--allow", "localhost:22",
        ]
        let gateway = try installation.start(command)
        eventually { installation.keepers("gateway").count == 1 }
        let second = try installation.run(command)
        #expect(second.status == .exited(125) && second.errors.hasPrefix("usl: "))
        #expect(second.errors.split(separator: "\n").count == 1, "\(second.errors)")
        let status = try installation.run([installation.usl, "status", "--json"])
        #expect(status.status == .success && status.errors == "", "\(status.errors)")
        #expect(status.output.hasPrefix("{\"sessions\":[],\"gateways\":[{\"process\":"), "\(status.output)")
        try gateway.child.send(signal: signal)
        #expect(try gateway.child.wait() == .success)
        #expect(installation.keepers("gateway").isEmpty)
    }

    @Test("a gateway whose worker dies gets another, and says so")
    func workerDies() throws {
        let port = try freePort()
        let gateway = try installation.start([
            installation.usl, "gateway", "--listen", "127.0.0.1:\(port)", "--allow", "localhost:22", "--state",
            installation.directory + "/state",
        ])
        eventually { installation.keepers("gateway").count == 1 }
        let keeper = gateway.child.pid
        let first = try #require(try worker(of: keeper))
        kill(first, SIGKILL)
        eventually { (try? worker(of: keeper)).flatMap { $0 } ?? first != first }
        let status = try installation.run([installation.usl, "status", "--json"])
        #expect(status.status == .success && status.errors == "", "\(status.errors)")
        #expect(status.output.hasPrefix("{\"sessions\":[],\"gateways\":[{\"process\":"), "\(status.output)")
        try gateway.child.send(signal: SIGTERM)
        #expect(try gateway.child.wait() == .success)
        let errors = try gateway.errors.readToEnd()
        #expect(errors.contains("usl: the key of this gateway is SHA256:"), "\(errors)")
        #expect(errors.contains("usl: the worker was killed by signal 9; another takes over"), "\(errors)")
        #expect(installation.keepers("gateway").isEmpty)
    }

    @Test("a worker that dies again and again is given up")
    func crashLoop() throws {
        let gateway = try installation.start([
            installation.usl, "gateway", "--listen", "127.0.0.1:\(try freePort())", "--allow", "localhost:22",
            "--state",
            installation.directory + "/state",
        ])
        eventually { installation.keepers("gateway").count == 1 }
        let keeper = gateway.child.pid
        let end = ContinuousClock.now + .seconds(30)
        var last: pid_t = 0
        var termination: Termination?
        while termination == nil, ContinuousClock.now < end {
            termination = try gateway.child.wait(milliseconds: 1)
            if let pid = try? worker(of: keeper), pid != last {
                kill(pid, SIGKILL)
                last = pid
            }
        }
        #expect(termination == .exited(125))
        let line = try gateway.errors.readToEnd().split(separator: "\n").last ?? ""
        #expect(line.contains("the last of 10 that died as soon as they had started"), "\(line)")
        #expect(installation.keepers("gateway").isEmpty)
    }

    private func worker(of keeper: pid_t) throws -> pid_t? {
        let children = try installation.run(["cat", "/proc/\(keeper)/task/\(keeper)/children"]).output
        return children.split(separator: " ").first.flatMap { pid_t($0) }
    }

    @Test("the status of nothing is nothing")
    func noStatus() throws {
        let status = try installation.run([installation.usl, "status"])
        #expect(status == .init(status: .success, output: "", errors: ""))
    }

    @Test("the doctor finds what USL needs here")
    func doctor() throws {
        let outcome = try installation.run([installation.usl, "doctor"])
        #expect(outcome.status == .success && outcome.errors.isEmpty, "\(outcome.output)")
        #expect(outcome.output.contains("preload library"))
    }

    @Test("the doctor notices a missing library")
    func missingLibrary() throws {
        unlink(installation.directory + "/lib/usl/libusl.so")
        let outcome = try installation.run([installation.usl, "doctor"])
        #expect(outcome.status == .exited(1) && outcome.output.contains("required: "))
        let run = try installation.run([installation.usl, "true"])
        #expect(run.status == .exited(125) && run.errors.contains("libusl.so"))
    }

    @Test(
        "every subcommand explains itself",
        arguments: ["run", "gateway", "forward", "agent", "status", "doctor", "demo", "identity", "trust"])
    func help(subcommand: String) throws {
        let outcome = try installation.run([installation.usl, subcommand, "--help"])
        #expect(outcome.status == .success && outcome.errors.isEmpty)
        #expect(outcome.output.contains("USAGE: usl \(subcommand == "run" ? "[run]" : subcommand)"))
        #expect(outcome.output.contains("Examples:"))
    }
}
