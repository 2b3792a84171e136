import CLinux
import NetworkLab
import Testing

extension EndToEnd.ShimTests {
    /// A program that tries the addresses of a name by itself, and its server.
    enum NetworkProgram: CaseIterable {
        case ssh
        case psql
        case curl

        var port: UInt16 {
            switch self {
            case .ssh: EndToEnd.SecureShellTests.port
            case .psql: 5432
            case .curl: 8000
            }
        }

        var command: [String] {
            switch self {
            case .ssh: EndToEnd.SecureShellTests.ssh(["echo", "42"], to: "many")
            case .psql: ["psql", "-h", "many", "-U", "postgres", "-qAtc", "select 6 * 7"]
            case .curl: ["curl", "-sS", "http://many:8000/answer"]
            }
        }

        func serve(_ test: UnderTest) throws -> LabProcess {
            switch self {
            case .ssh: return try EndToEnd.SecureShellTests.startServer(test)
            case .psql: return try EndToEnd.PostgresTests.startServer(test)
            case .curl:
                try test.server.succeed(["/bin/sh", "-c", "mkdir /run/site && echo 42 > /run/site/answer"])
                let command = ["/usr/bin/python3", "-m", "http.server", "--bind", "0.0.0.0", "8000"]
                return try test.serve(command, port: port, directory: "/run/site")
            }
        }
    }

    /// No slower than without USL, where the kernel gives a silent address up after 3 s, and with the same result.
    @Test(
        .enabled(if: geteuid() == 0, "servers need users of their own"), arguments: NetworkProgram.allCases,
        [Fault.silent, .refuses])
    func programsAreNoWorseThanBare(program: NetworkProgram, fault: Fault) throws {
        try withManyAddresses(bad: [9], fault, ports: "\(program.port)") { test in
            try test.client.succeed(["sysctl", "-qw", "net.ipv4.tcp_syn_retries=1"])
            let server = try program.serve(test)
            func time(_ prefix: [String]) throws -> Duration {
                let begin = ContinuousClock.now
                let outcome = try test.client.run(prefix + program.command)
                #expect(outcome.status == .success && outcome.output == "42\n", "\(outcome.errors)")
                return ContinuousClock.now - begin
            }
            // The first time is that of files that are not in memory yet.
            if fault == .refuses { _ = try time([]) }
            let (bare, shimmed) = (try time([]), try time(shim()))
            // To start with, `usl` has an agent to make.
            #expect(shimmed < bare + .milliseconds(500), "\(shimmed) instead of \(bare)")
            if fault == .silent { #expect(shimmed < .seconds(2), "\(shimmed)") }
            server.terminate()
        }
    }
}
