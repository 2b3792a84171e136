import NetworkLab
import Testing

extension EndToEnd {
    /// Too few descriptors, too little memory: what cannot be served is refused, and the rest goes on.
    @Suite struct LimitsTests {
        /// Many connections at once; then, when they are closed, some more. Prints how many were served.
        private static let crowd = """
            def attempt():
                try:
                    s = socket.socket()
                    s.settimeout(4)
                    s.connect(('10.77.2.2', 7002))
                    exactly(s, 10)
                    pingpong(s, 2)
                    return s
                except (OSError, AssertionError):
                    return None
            def attempts(count):
                found = []
                threads = [threading.Thread(target=lambda: found.append(attempt())) for _ in range(count)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                return [s for s in found if s]
            served = attempts(int(sys.argv[1]))
            # Whoever was served is served on.
            for s in served: pingpong(s, 5)
            for s in served: s.close()
            eventually(lambda: len(attempts(5)) == 5, 30)
            say(len(served), 'served')
            """

        private func limited(_ command: [String]) -> [String] { ["prlimit", "--nofile=64:64", "--"] + command }

        private func served(_ outcome: Host.Outcome) -> Int {
            Int(outcome.output.split(separator: " ").first ?? "") ?? 0
        }

        @Test func aGatewayHasFewDescriptors() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let gateway = try test.server.start(
                    limited([try UnderTest.usl(), "gateway", "--plain", "--state", "/run/state", "--allow", "*:7002"]))
                try test.server.waitForListener(port: UnderTest.gatewayPort)
                let outcome = try test.client.run(test.prefix + Peers.client(Self.crowd, ["200"]), within: .seconds(60))
                #expect(outcome.status == .success, "\(outcome.errors.suffix(2000))")
                #expect(served(outcome) > 5 && served(outcome) < 200, "\(outcome.output)")
                #expect(gateway.ended == nil)
                let said = gateway.standardError.split(separator: "\n")
                #expect(said.contains { $0.contains("ulimit -n") } && said.count < 20, "\(said.prefix(20))")
            }
        }

        @Test func anAgentHasFewDescriptors() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                // A session takes two of its agent's descriptors, and one of the program's.
                let outcome = try test.client.run(
                    limited(test.prefix + Peers.client(Self.crowd, ["40"])), within: .seconds(60))
                #expect(outcome.status == .success, "\(outcome.errors.suffix(2000))")
                #expect(served(outcome) > 5, "\(outcome.output)")
                #expect(outcome.errors.split(separator: "\n").count < 20, "\(outcome.errors.prefix(2000))")
            }
        }

        @Test func memoryIsShort() throws {
            try Lab.with(hosts: ["client"]) { lab in
                for words in [["gateway", "--plain", "--allow", "*:22"], ["--plain", "true"]] {
                    let outcome = try lab["client"].run(
                        ["prlimit", "--as=300000000", "--", try UnderTest.usl()] + words)
                    let lines = outcome.errors.split(separator: "\n")
                    #expect(
                        lines.contains { $0.hasPrefix("usl: ") && $0.contains("annot") && $0.contains("emory") },
                        "\(words): \(lines)")
                }
            }
        }
    }
}
