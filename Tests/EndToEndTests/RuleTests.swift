import NetworkLab
import Testing

extension EndToEnd {
    /// Rules of `usl.toml`, and what becomes of connections when they change.
    @Suite struct RuleTests {
        private func write(_ rules: String, on host: Host) throws {
            try host.succeed(
                ["/bin/sh", "-c", "cat > /run/new && mv /run/new /run/usl.toml"], input: .bytes(Array(rules.utf8)))
        }

        /// One program's connections, each by its rule; then the rules change under it.
        @Test func rulesChangeUnderAProgram() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                let session = """
                    [[rule]]
                    program = "python3*"
                    destination = "10.77.2.0/24"
                    port = 7002
                    gateway = "10.77.2.2"
                    """
                try write(
                    session + "\n" + """
                        [[rule]]
                        port = "7003-7004"
                        treatment = "refuse"
                        [[rule]]
                        destination = "fd77:2::2"
                        treatment = "direct"
                        """, on: test.client)
                let client = try test.client.start(
                    [try UnderTest.usl(), "-v", "--plain", "--policy", "/run/usl.toml", "--"]
                        + Peers.client(
                            """
                            def refused(port):
                                try: connect(port, '10.77.2.2')
                                except ConnectionRefusedError: return True
                            kept = connect(7002, '10.77.2.2')
                            exactly(kept, 10)
                            direct = connect(7002, 'fd77:2::2')
                            exactly(direct, 10)
                            assert refused(7003) and refused(7004) and not refused(7005)
                            def after(word):
                                say('before', word)
                                eventually(lambda: os.path.exists('/run/' + word))
                                pingpong(kept, 5)
                            after('change')
                            assert refused(7002)
                            after('mistake')
                            assert refused(7002)
                            after('end')
                            connect(7002, '10.77.2.2')
                            """))
                try client.waitForOutput("before change")
                let said = client.standardError
                #expect(said.contains("10.77.2.2:7002: session, by /run/usl.toml:1\n"), "\(said)")
                #expect(said.contains("[fd77:2::2]:7002: direct, by /run/usl.toml:9\n"), "\(said)")
                #expect(said.contains("10.77.2.2:7004: refuse, by /run/usl.toml:6\n"), "\(said)")
                #expect(said.split(separator: "\n").count { $0.contains("7002: session ") } == 1, "\(said)")

                func next(_ rules: String, _ word: String, saying text: String) throws {
                    try write(rules, on: test.client)
                    try client.waitForOutput(text)
                    try test.client.succeed(["touch", "/run/" + word])
                }
                try next("[[rule]]\nport = 7002\ntreatment = \"refuse\"\n", "change", saying: "it has 1 rule\n")
                try client.waitForOutput("before mistake")
                try next(
                    "[[rule]]\ntreatmnt = \"direct\"\n", "mistake", saying: "the configuration of before stays in force"
                )
                #expect(
                    client.standardError.contains(
                        "usl: /run/usl.toml:2: unknown key 'rule.treatmnt'; did you mean 'treatment'?\n"))
                try client.waitForOutput("before end")
                try next(session + "\n[[rule]]\nport = 1\n", "end", saying: "it has 2 rules")
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
                peers.terminate()
            }
        }

        /// A gateway by its name, whose first address does not answer; and an agent that is killed: the next goes on by the same
        /// rule, and at the same gateway.
        @Test func aRulesGatewayOutlivesItsAgent() throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                _ = try test.startGateway(["--listen", "10.77.2.2"])
                try write(
                    "[[rule]]\nport = 7002\ngateway = \"server\"\nlinks = \"mirror\"\n",
                    on: test.client)
                let client = try test.client.start(
                    [try UnderTest.usl(), "-v", "--plain", "--policy", "/run/usl.toml", "--"]
                        + Peers.client(
                            """
                            s = connect(7002, '10.77.2.2')
                            exactly(s, 10)
                            say('connected')
                            eventually(lambda: os.path.exists('/run/killed'))
                            pingpong(s, 20)
                            say('resumed')
                            """))
                try client.waitForOutput("connected")
                try test.client.killProcesses(called: "usl-agent")
                try test.client.succeed(["touch", "/run/killed"])
                try client.waitForOutput("resumed", within: .seconds(10))
                let status = try client.wait(.seconds(20))
                #expect(status == .success, "\(client.standardError)")
                peers.terminate()
            }
        }
    }
}
