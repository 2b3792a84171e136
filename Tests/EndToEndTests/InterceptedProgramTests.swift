import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Real programs, each intercepted in every way that there is, over links that are reset ten times a second.
    @Suite struct InterceptedProgramTests {
        static let modes = ["preload", "donate", "seccomp"]

        /// Bytes, and a path on which they take a second or more.
        private static let megabytes = 24
        private static let rate = Lab.Rate.megabits(150)

        private func attacked(_ body: (UnderTest) throws -> Void) throws {
            try UnderTest.with(.attacked, rate: Self.rate, body)
        }

        @Test(arguments: modes) func redis(mode: String) throws {
            try attacked { test in
                let options = ["--bind", "*", "--protected-mode", "no", "--save", "", "--dir", "/run"]
                let server = try test.serve(["redis-server", "--port", "6379"] + options, port: 6379)
                try test.server.makeRandomFile("/run/value", megabytes: Self.megabytes)
                try test.server.succeed(["/bin/bash", "-c", "redis-cli -x set large </run/value"])
                try test.survives(mode, "redis-cli -h server get large | head -c -1 >/run/value")
                #expect(try test.client.digest("/run/value") == test.server.digest("/run/value"))
                server.terminate()
            }
        }

        @Test(.enabled(if: geteuid() == 0, "sshd needs root"), arguments: modes) func ssh(mode: String) throws {
            try attacked { test in
                let server = try SecureShellTests.startServer(test)
                try test.server.makeRandomFile("/run/file", megabytes: Self.megabytes)
                try test.survives(mode, SecureShellTests.remoteShell + " root@server cat /run/file >/run/file")
                #expect(try test.client.digest("/run/file") == test.server.digest("/run/file"))
                server.terminate()
            }
        }

        @Test(.enabled(if: geteuid() == 0, "PostgreSQL's server needs a user of its own"), arguments: modes)
        func psql(mode: String) throws {
            try attacked { test in
                let server = try PostgresTests.startServer(test)
                let query =
                    "psql -U postgres -h %s -qAtc 'select md5(i::text) from generate_series(1, 500000) i' >/run/rows"
                    .split(separator: "%s")
                try test.server.succeed(["/bin/bash", "-c", query.joined(separator: "localhost")])
                try test.survives(mode, query.joined(separator: "server"))
                #expect(try test.client.digest("/run/rows") == test.server.digest("/run/rows"))
                server.terminate()
            }
        }

        /// The agent is killed, and replaced, while bytes are under way both ways.
        @Test(arguments: modes) func killedAndReplacedAgents(mode: String) throws {
            try UnderTest.withoutGateway { test in
                let usl = try UnderTest.usl()
                _ = try test.servePeers()
                let gateway = try test.startGateway()
                let client = try test.client.start(
                    test.prefix(["-q", "--intercept", mode]) + Peers.client(CrashTests.bulk))
                try client.waitForOutput("talking")
                let keeper = try test.client.succeed(["pgrep", "-o", "-x", "usl-keeper"]).dropLast()
                for _ in 0..<3 {
                    try test.client.killProcesses(called: "usl-agent")
                    usleep(UInt32.random(in: 0..<500_000))
                    #expect(
                        try test.client.succeed([usl, "agent", "--replace", String(keeper)]).contains(
                            "with 1 session\n"))
                    usleep(UInt32.random(in: 0..<500_000))
                }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(30))
                #expect(
                    try client.wait(.seconds(10)) == .success && client.standardError == "", "\(client.standardError)")
                #expect(gateway.ended == nil)
            }
        }
    }
}

extension UnderTest {
    /// Runs a command of the shell on the client, intercepted in this mode. It must succeed, and links must have been lost meanwhile.
    func survives(_ mode: String, _ command: String, within limit: Duration = .seconds(60)) throws {
        let outcome = try client.run(
            try prefix(["-v", "--intercept", mode]) + ["/bin/bash", "-o", "pipefail", "-c", command], within: limit)
        #expect(outcome.status == .success, "\(outcome.errors)")
        #expect(outcome.errors.contains("link lost: "), "\(outcome.errors)")
    }
}
