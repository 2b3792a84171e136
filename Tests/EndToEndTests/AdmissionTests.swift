import NetworkLab
import Testing

extension EndToEnd {
    /// `[limits]`: the session that has been suspended longest makes room; without one, a new one is refused.
    @Suite struct AdmissionTests {
        /// A gateway with a configuration, on several ports.
        private func startGateway(_ test: UnderTest, ports: [UInt16], limits: String) throws -> LabProcess {
            try test.server.succeed(["/bin/sh", "-c", "printf '[limits]\\n\(limits)\\n' > /run/usl.toml"])
            let gateway = try test.server.start(
                [try UnderTest.usl(), "gateway", "--plain", "--state", "/run/state", "--policy", "/run/usl.toml"]
                    + ["--allow", "*:7002", "--listen"] + ports.map { "0.0.0.0:\($0)" })
            for port in ports { try test.server.waitForListener(port: port) }
            return gateway
        }

        private func usl(_ test: UnderTest, port: UInt16, _ options: [String] = []) throws -> [String] {
            [try UnderTest.usl(), "--plain", "--gateway", "\(test.server.address):\(port)"] + options + ["--"]
        }

        @Test func theOneThatWasSuspendedLongestIsGivenUp() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Peers.tellingServer))
                try server.waitForOutput("serving")
                let gateway = try startGateway(test, ports: [7117, 7118, 7119], limits: "sessions = 3")
                func talker(port: UInt16) throws -> LabProcess {
                    let client = try test.client.start(
                        usl(test, port: port) + Peers.client(SuspensionTests.endures))
                    try client.waitForOutput("talking")
                    return client
                }
                let later = try talker(port: 7119)
                let longest = try talker(port: 7118)
                let active = try talker(port: 7117)
                // The younger of the two is suspended first, so that it is not age that counts.
                for (port, states) in [
                    (7118, ["active", "active", "suspended"]), (7119, ["active", "suspended", "suspended"]),
                ] as [(UInt16, [String])] {
                    try test.lab.router.block(port: port, named: "block\(port)")
                    for host in [test.client, test.server] { try host.resetLinks(port: port) }
                    try test.server.expectSessions("sorted(s['state'] for s in sessions) == \(states)")
                }
                let newcomer = try talker(port: 7117)
                try server.waitForOutput("ended ECONNRESET", within: .seconds(5))
                try test.server.expectSessions(
                    "sorted(s['state'] for s in sessions) == ['active', 'active', 'suspended']")
                try gateway.waitForLine(
                    "suspended longest, and given up: the limit on sessions is reached ([limits] sessions)")
                // It hears of it when it comes back, and so does its application; the other goes on.
                for port in [7118, 7119] as [UInt16] { try test.lab.router.unblock(named: "block\(port)") }
                try longest.waitForOutput("ended ECONNRESET", within: .seconds(10))
                try longest.waitForLine("the gateway gave the session up to stay inside its limits")
                try test.server.expectSessions("[s['state'] for s in sessions] == ['active'] * 3", within: .seconds(10))
                for talker in [later, active, newcomer] { #expect(talker.ended == nil, "\(talker.standardError)") }

                // With none that is suspended, the next one is refused.
                let refused = try test.client.run(usl(test, port: 7117) + Peers.client("connect(7002)"))
                #expect(refused.errors.contains("ConnectionRefusedError"), "\(refused.errors)")
                #expect(refused.errors.contains("at the gateway, the limit on sessions is reached ([limits] sessions)"))
                try gateway.waitForOutput(", and no session is suspended")
                server.terminate()
            }
        }

        /// What rings and windows may hold is bounded, and what is given up gives it back.
        @Test func memoryIsBounded() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Peers.tellingServer))
                try server.waitForOutput("serving")
                let gateway = try startGateway(test, ports: [7117, 7118], limits: "memory = \"1MiB\"")
                let suspended = try test.client.start(
                    usl(test, port: 7118) + Peers.client(SuspensionTests.endures))
                try suspended.waitForOutput("talking")
                try test.lab.router.block(port: 7118, named: "block")
                for host in [test.client, test.server] { try host.resetLinks(port: 7118) }
                try test.server.expectSessions("[s['state'] for s in sessions] == ['suspended']")
                let crowd = try test.client.run(
                    usl(test, port: 7117)
                        + Peers.client(
                            """
                            served = []
                            try:
                                while len(served) < 40:
                                    s = connect(7002)
                                    exactly(s, 10)
                                    served.append(s)
                            except ConnectionRefusedError: pass
                            for s in served: pingpong(s, 3)
                            say(len(served), 'served')
                            for s in served: s.close()
                            # What they leave is for others.
                            def again():
                                try:
                                    with connect(7002) as s: pingpong(s, 1) if exactly(s, 10) else None
                                    return True
                                except ConnectionRefusedError: return False
                            eventually(again)
                            """), within: .seconds(30))
                #expect(crowd.status == .success, "\(crowd.errors)")
                let served = Int(crowd.output.split(separator: " ").first ?? "") ?? 0
                #expect((4...16).contains(served), "\(crowd.output)")
                #expect(crowd.errors.contains("the limit on memory is reached ([limits] memory)"), "\(crowd.errors)")
                try gateway.waitForOutput("given up: the limit on memory is reached")
                try test.lab.router.unblock(named: "block")
                try suspended.waitForOutput("ended ECONNRESET", within: .seconds(10))
                server.terminate()
            }
        }

        /// An agent's own limits.
        @Test func anAgentIsFull() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                try test.client.succeed(["/bin/sh", "-c", "printf '[limits]\\nsessions = 2\\n' > /run/usl.toml"])
                let outcome = try test.client.run(
                    usl(test, port: 7117, ["--policy", "/run/usl.toml"])
                        + Peers.client(
                            """
                            served = [connect(7002, '10.77.2.2'), connect(7002, '10.77.2.2')]
                            for s in served: exactly(s, 10)
                            try: connect(7002, '10.77.2.2')
                            except ConnectionRefusedError: say('refused')
                            for s in served: pingpong(s, 2)
                            """))
                #expect(outcome.status == .success && outcome.output == "refused\n", "\(outcome.errors)")
                #expect(
                    outcome.errors.hasSuffix(
                        " to 10.77.2.2:7002: the limit on sessions is reached ([limits] sessions), "
                            + "and no session is suspended; refused\n"), "\(outcome.errors)")
                peers.terminate()
            }
        }

        /// A mistake ends the start, wherever the file lies; no file is none.
        @Test func configurations() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let client = lab["client"]
                try client.succeed([
                    "/bin/sh", "-c",
                    "mkdir -p /run/c/usl /run/empty; printf '[limits]\\nsuspent = \"1h\"\\n' > /run/c/usl/usl.toml; "
                        + "printf '[limits]\\nsuspend = \"2h\"\\n' > /run/good.toml",
                ])
                let usl = try UnderTest.usl()
                func run(_ words: [String], config: String) throws -> Host.Outcome {
                    try client.run([usl] + words, environment: ["XDG_CONFIG_HOME": config])
                }
                for words in [
                    ["true"], ["gateway", "--plain", "--allow", "*:22"], ["forward", "localhost:1", "localhost:2"],
                ] {
                    let outcome = try run(words, config: "/run/c")
                    #expect(outcome.status == .exited(125))
                    #expect(
                        outcome.errors
                            == "usl: /run/c/usl/usl.toml:2: unknown key 'limits.suspent'; did you mean 'suspend'?\n")
                }
                #expect(try run(["--policy", "/run/good.toml", "true"], config: "/run/empty").status == .success)
                #expect(try run(["--policy", "/run/good.toml", "true"], config: "relative").status == .success)
                let missing = try run(["--policy", "/run/none.toml", "true"], config: "/run/empty")
                #expect(
                    missing.status == .exited(125)
                        && missing.errors == "usl: cannot read /run/none.toml: No such file or directory\n")
                let directory = try run(["--policy", "/run", "true"], config: "/run/empty")
                #expect(
                    directory.status == .exited(125) && directory.errors == "usl: cannot read /run: Is a directory\n")
                let short = try run(["--suspend", "10ms", "true"], config: "/run/empty")
                #expect(short.status == .exited(125) && short.errors.contains("--suspend must be between 1s and 3650d"))
            }
        }
    }
}
