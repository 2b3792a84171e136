import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// A running gateway or agent that goes on as another binary.
    @Suite struct ReplacementTests {
        private static let bulk = """
            s = connect(7007)
            sent, got, total = hashlib.sha256(), hashlib.sha256(), 0
            def send():
                while not os.path.exists('/run/stop'):
                    piece = os.urandom(65536)
                    s.sendall(piece)
                    sent.update(piece)
                s.shutdown(socket.SHUT_WR)
            threading.Thread(target=send).start()
            say('talking')
            while piece := s.recv(1 << 18):
                got.update(piece)
                total += len(piece)
            assert sent.digest() == got.digest(), f'other bytes, of {total}'
            say(total, 'verified')
            """

        private func keeper(on host: Host, called name: String) throws -> String {
            let script = "grep -l '^\(name)$' /proc/[0-9]*/comm | cut -d/ -f3 | sort -n | head -1"
            return String(try host.succeed(["/bin/bash", "-c", script]).prefix { $0 != "\n" })
        }

        @Test func bothEndsUnderBulk() throws {
            try UnderTest.withoutGateway { test in
                let usl = try UnderTest.usl()
                _ = try test.servePeers()
                let gateway = try test.startGateway()
                let client = try test.client.start(test.prefix + Peers.client(Self.bulk))
                try client.waitForOutput("talking")
                let agent = try keeper(on: test.client, called: "usl-keeper")
                for _ in 0..<4 {
                    let said = try test.server.succeed([
                        usl, "gateway", "--replace", "--plain", "--allow", "*:1-65535", "--state", "/run/state",
                    ])
                    #expect(said.hasSuffix("goes on as this binary, with 1 session\n"), "\(said)")
                    #expect(try test.client.succeed([usl, "agent", "--replace", agent]).contains("with 1 session\n"))
                }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(30))
                let status = try client.wait(.seconds(10))
                #expect(status == .success && client.standardError == "", "\(client.standardError)")
                #expect(gateway.ended == nil)
            }
        }

        /// The new options count, also where it listens; what is wrong with them is said before anything is cut.
        @Test func otherOptions() throws {
            try UnderTest.withoutGateway { test in
                let usl = try UnderTest.usl()
                _ = try test.servePeers()
                let gateway = try test.startGateway(allow: "*:7001-7006")
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(Peers.conversation))
                try client.waitForOutput("talking")
                let wrong = try test.server.run([usl, "gateway", "--replace", "--plain", "--allow", "nonsense"])
                #expect(wrong.status == .exited(125) && wrong.errors.contains("nonsense"))
                try test.server.succeed([
                    usl, "gateway", "--replace", "--plain", "--allow", "*:7007", "--listen", "0.0.0.0:7118",
                ])
                try test.server.waitForListener(port: 7118)
                let other = [usl, "-q", "--plain", "--gateway", "\(test.server.address):7118", "--"]
                _ = try test.client.succeed(other + Peers.client("s = connect(7007)\npingpong(s, 3)"))
                _ = (gateway, client)
            }
        }

        @Test func nobodyIsThere() throws {
            try UnderTest.withoutGateway { test in
                let usl = try UnderTest.usl()
                let outcome = try test.server.run([usl, "gateway", "--replace", "--plain", "--allow", "*:1"])
                #expect(outcome.status == .exited(125) && outcome.errors.contains("there is no such gateway"))
            }
        }
    }
}
