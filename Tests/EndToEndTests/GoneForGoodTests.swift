import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Agents and gateways that die or are ended: whatever was cut short ends in a reset, never in a clean end.
    @Suite struct GoneForGoodTests {
        /// Talks, says `talking`, and then tells how the connection ends.
        private static let talker = """
            s = connect(7002)
            exactly(s, 10)
            pingpong(s, 10)
            say('talking')
            data, how = rest(s)
            say('found', len(data), how)
            """

        /// Lends a talker to `body`, which ends its connection; it must end in a reset.
        private func reset(
            _ options: [String] = [], within limit: Duration = .seconds(10), saying text: String,
            by body: (UnderTest, LabProcess) throws -> Void
        ) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.server)
                try server.waitForOutput("serving")
                let gateway = try test.startGateway()
                let client = try test.client.start(test.prefix(options) + Peers.client(Self.talker))
                try client.waitForOutput("talking")
                try body(test, gateway)
                try client.waitForOutput("found", within: limit)
                #expect(client.standardOutput.hasSuffix("found 0 ECONNRESET\n"), "\(client.standardOutput)")
                let status = try client.wait(.seconds(10))
                #expect(status == .success)
                try client.waitForLine(text)
                server.terminate()
            }
        }

        @Test func aGatewayIsEnded() throws {
            var gateway: LabProcess?
            try reset(within: .seconds(1), saying: "the gateway was ended; the connection is reset") { _, process in
                process.signal(SIGTERM)
                let status = try process.wait(.seconds(5))
                #expect(status == .exited(0))
                gateway = process
            }
            let said = try #require(gateway?.standardError)
            #expect(said.contains("usl: ending; cuts 1 session, "), "\(said)")
            #expect(said.contains("usl: cut: "), "\(said)")
        }

        @Test func aGatewayIsKilledAndStartedAnew() throws {
            try reset(saying: "the gateway no longer knows the session") { test, process in
                process.killGroup()
                _ = try test.startGateway()
            }
        }

        /// Another gateway at the same address may be another machine: its word ends nothing.
        @Test func anotherGatewayIsStartedInstead() throws {
            try reset(["--suspend", "1s"], saying: "no link for longer than the suspend limit") { test, process in
                process.killGroup()
                _ = try test.startGateway(state: "/run/another")
            }
        }

        @Test func aGatewayIsKilledForGood() throws {
            try reset(["--suspend", "1s"], saying: "no link for longer than the suspend limit") { _, process in
                process.killGroup()
            }
        }

        /// A worker whose keeper dies tells its peers, since nobody would follow it if it died too.
        @Test func theKeeperOfAGatewayIsKilled() throws {
            try reset(within: .seconds(2), saying: "the gateway was ended; the connection is reset") { _, process in
                process.signal(SIGKILL)
                let status = try process.wait(.seconds(5))
                #expect(status == .signaled(SIGKILL))
            }
        }

        @Test func theKeeperOfAProgramIsKilled() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let script = "s = connect(7006)\nexactly(s, 1)\nsay('talking')\nsay('found', rest(s)[1])"
                let client = try test.client.start(test.prefix + Peers.client(script))
                try client.waitForOutput("talking")
                try test.client.killProcesses(called: "usl-keeper")
                try client.waitForOutput("found ECONNRESET")
                try server.waitForOutput("7006 0 ")
                #expect(server.standardOutput.hasSuffix("ECONNRESET\n"), "\(server.standardOutput)")
                let status = try client.wait(.seconds(5))
                #expect(status == .exited(125))
                #expect(client.standardError == "usl: the keeper has died; the program's connections are reset\n")
            }
        }

        /// The limit of a suspension holds at both ends.
        @Test func aSuspensionExpires() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.server)
                try server.waitForOutput("serving")
                let gateway = try test.startGateway()
                let script = "s = connect(7006)\nexactly(s, 1)\nsay('talking')\ndata, how = rest(s)\nsay('found', how)"
                let client = try test.client.start(test.prefix(["--suspend", "1s"]) + Peers.client(script))
                try client.waitForOutput("talking")
                try test.lab.router.block(port: UnderTest.gatewayPort)
                // Each end is told: a reset does not pass the block.
                for host in [test.client, test.server] { try host.resetLinks() }
                try client.waitForOutput("found ECONNRESET")
                try server.waitForOutput("ECONNRESET")
                #expect(server.standardOutput.contains("7006 0 "))
                _ = gateway
            }
        }
    }
}
