import CLinux
import NetworkLab
import TestSupport
import Testing

extension EndToEnd {
    /// Servers that no library can be loaded into, under `usl` on one host, with clients under `usl` on another, and no gateway that
    /// anybody has started.
    @Suite struct TrappedServerTests {
        private static let port: UInt16 = 8080

        /// - Parameter command: what serves the files of `/run/site` at the port.
        private func serves(_ mode: String, _ command: [String], naming client: (String) -> String) throws {
            try Lab.with(hosts: ["client", "server"], rate: .megabits(150)) { lab in
                let usl = try UnderTest.usl()
                let test = UnderTest(lab: lab, mode: .usl, prefix: [])
                let server = test.server
                try server.succeed(["mkdir", "/run/site"])
                try server.makeRandomFile("/run/site/large", megabytes: 16)
                let process = try server.start([usl, "-v", "--intercept", mode, "--"] + command)
                try process.waitForLine("port \(Self.port) is offered through")
                let attack = try lab.attack(
                    .socketKill(host: "server", port: UnderTest.gatewayPort, every: .milliseconds(100)))
                let url = "http://\(server.address):\(Self.port)/large"
                // One of each kind of client, and one that knows nothing of USL.
                for program in [["curl", "-sS", "-o"], ["busybox", "wget", "-q", "-O"]] {
                    let outcome = try test.client.run(
                        [usl, "-v", "--"] + program + ["/run/large", url], within: .seconds(60))
                    #expect(outcome.status == .success && outcome.errors.contains("link lost: "), "\(outcome.errors)")
                    #expect(try test.client.digest("/run/large") == server.digest("/run/site/large"))
                }
                attack.stop()
                try test.client.succeed(["curl", "-sS", "-o", "/run/large", url])
                #expect(try test.client.digest("/run/large") == server.digest("/run/site/large"))
                // Each was who he is; under seccomp, accept(2) tells the gateway's address. Some servers say it of a request and of its
                // response.
                let said = process.standardOutput + process.standardError
                let name = client(test.client.address)
                let requests = said.split(separator: "\n").count { $0.contains(name) && !$0.contains("response") }
                #expect(requests == (mode == "seccomp" ? 1 : 3), "\(said)")
                process.signal(SIGTERM)
                _ = try process.wait(.seconds(10))
            }
        }

        @Test(arguments: ["auto", "donate", "seccomp"]) func busybox(mode: String) throws {
            try serves(mode, ["busybox", "httpd", "-f", "-vv", "-p", "\(Self.port)", "-h", "/run/site"]) {
                "[::ffff:\($0)]:"
            }
        }

        @Test(.enabled(if: getenv("USL_TEST_ALL") != nil)) func go() throws {
            let directory = try TemporaryDirectory()
            let program = try ProbeProgram.makeGo("serve", in: directory.path)
            try serves("auto", [program, ":\(Self.port)", "/run/site"]) { "from \($0):" }
        }

        /// What listens in a network namespace of its own has another port than this host, and is not offered.
        @Test(arguments: InterceptedProgramTests.modes) func anotherNetwork(mode: String) throws {
            try Lab.with(hosts: ["server"]) { lab in
                let server = try lab["server"].start(
                    [try UnderTest.usl(), "-v", "--intercept", mode, "--", "unshare", "--net"]
                        + Peers.client("socket.create_server(('', 8000))\nsay('serving')\ntime.sleep(1)"))
                try server.waitForOutput("serving")
                #expect(try server.wait(.seconds(10)) == .success)
                #expect(mode == "donate" || !server.standardError.contains("8000"), "\(server.standardError)")
            }
        }
    }
}
