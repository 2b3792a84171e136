import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// A program that exits while its last bytes are under way.
    @Suite struct LastBytesTests {
        private func withHaste(
            _ body: (UnderTest, _ gateway: LabProcess, _ server: LabProcess, _ client: LabProcess) throws -> Void
        ) throws {
            try UnderTest.withoutGateway { test in
                try test.boundServerBuffers()
                let server = try test.servePeers()
                let gateway = try test.startGateway()
                let client = try test.client.start(test.prefix + Peers.client(Peers.hasty))
                try client.waitForOutput("exits")
                try body(test, gateway, server, client)
            }
        }

        @Test func areWaitedFor() throws {
            try withHaste { test, _, server, client in
                try client.waitForOutput("usl: waiting for ")
                #expect(client.ended == nil)
                let said = client.standardError
                #expect(said.hasPrefix("usl: ") && said.filter { $0 == "\n" }.count == 1, "\(said)")
                try test.server.succeed(["touch", "/run/go"])
                let status = try client.wait(.seconds(10))
                #expect(status == .exited(7))
                try server.waitForOutput("7008 1048576 ")
                #expect(server.standardOutput.hasSuffix("EOF\n"))
            }
        }

        @Test func mayBeGivenUp() throws {
            try withHaste { _, _, _, client in
                try client.waitForOutput("usl: waiting for ")
                client.signal(SIGINT)
                let status = try client.wait(.seconds(10))
                #expect(status == .exited(75))
                #expect(client.standardError.contains("bytes"), "\(client.standardError)")
            }
        }

        /// Without a network there is nothing to do but wait.
        @Test func areDeliveredWhenTheNetworkIsBack() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let client = try test.client.start(
                    test.prefix
                        + Peers.client(
                            """
                            s = connect(7006)
                            exactly(s, 1)
                            say('talking')
                            eventually(lambda: os.path.exists('/run/go'))
                            s.sendall(b'the last bytes')
                            sys.exit(3)
                            """))
                try client.waitForOutput("talking")
                try test.lab.router.block(port: UnderTest.gatewayPort)
                try test.client.resetLinks()
                try test.client.succeed(["touch", "/run/go"])
                try client.waitForOutput("usl: waiting for 14 bytes to reach ")
                #expect(server.standardOutput == "serving\n")
                try test.lab.router.unblock()
                let status = try client.wait(.seconds(5))
                #expect(status == .exited(3))
                try server.waitForOutput("7006 14 ")
                #expect(server.standardOutput.hasSuffix("EOF\n"))
            }
        }

        /// A gateway that goes takes them with it.
        @Test func mayBeLost() throws {
            try withHaste { test, gateway, server, client in
                try client.waitForOutput("usl: waiting for ")
                gateway.killGroup()
                _ = try test.startGateway()
                let status = try client.wait(.seconds(10))
                #expect(status == .exited(75))
                #expect(client.standardError.contains("bytes"), "\(client.standardError)")
                try test.server.succeed(["touch", "/run/go"])
                try server.waitForOutput("7008")
                #expect(server.standardOutput.hasSuffix("ECONNRESET\n"), "\(server.standardOutput)")
            }
        }
    }
}
