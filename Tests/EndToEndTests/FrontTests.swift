import NetworkLab
import Testing

extension EndToEnd {
    /// `usl gateway --front`, and how agents find it.
    @Suite struct FrontTests {
        /// Nothing is at the port where agents look first.
        private static let gatewayPort: UInt16 = 7200

        private func startGateway(_ test: UnderTest, _ options: [String], isPlain: Bool = true) throws -> LabProcess {
            let gateway = try test.server.start(
                [try UnderTest.usl(), "gateway", "--listen", "0.0.0.0:\(Self.gatewayPort)", "--state", "/run/state"]
                    + (isPlain ? ["--plain"] : []) + options)
            try test.server.waitForListener(port: Self.gatewayPort)
            return gateway
        }

        private func probing(_ options: [String] = ["--plain"]) throws -> [String] {
            try [UnderTest.usl(), "--detection", "probe", "-v"] + options + ["--"]
        }

        private func detect(_ test: UnderTest, _ options: [String]) throws -> Host.Outcome {
            try test.client.run([try UnderTest.usl(), "detect"] + options)
        }

        /// A server that takes one connection only has its client, an ordinary one or one that has asked before.
        @Test func serversForOneConnection() throws {
            try UnderTest.withoutGateway { test in
                _ = try startGateway(test, ["--front", "7000=localhost:8000"])
                for prefix in [[], try probing()] {
                    let server = try test.server.start(
                        ["ncat", "-l", "-p", "8000"], input: .bytes(Array("from the server".utf8)))
                    try test.server.waitForListener(port: 8000)
                    let client = try test.client.run(
                        prefix + ["ncat", "10.77.2.2", "7000"], input: .bytes(Array("from the client".utf8)))
                    #expect(client.status == .success && client.output == "from the server", "\(client.errors)")
                    #expect(try server.wait(.seconds(10)) == .success)
                    #expect(server.standardOutput == "from the client")
                    #expect(client.errors.contains(": session ") == !prefix.isEmpty, "\(client.errors)")
                }
            }
        }

        /// Servers that speak first, half-close, and reset: their ordinary clients notice nothing, and the others have sessions.
        @Test func serversOfEveryKind() throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                let fronts = (7002...7006).flatMap { ["--front", "\($0 + 1000)=localhost:\($0)"] }
                _ = try startGateway(test, fronts + ["--front", "8099=localhost:7099"])
                let script = """
                    begin = time.monotonic()
                    s = connect(8002)
                    exactly(s, 10)
                    print(int(1000 * (time.monotonic() - begin)))
                    pingpong(s, 20)
                    s = connect(8003)
                    s.shutdown(socket.SHUT_WR)
                    assert rest(s) == (MEBIBYTE, 'EOF')
                    s = connect(8003)
                    s.sendall(MEBIBYTE)
                    s.shutdown(socket.SHUT_WR)
                    assert rest(s) == (MEBIBYTE, 'EOF')
                    s = connect(8004)
                    assert rest(s) == (MEBIBYTE, 'EOF')
                    s.sendall(MEBIBYTE)
                    s.close()
                    s = connect(8005)
                    s.sendall(b'!')
                    assert (found := rest(s)) == (b'bytes before', 'ECONNRESET'), found
                    s = connect(8006)
                    exactly(s, 1)
                    s.sendall(b'12345')
                    eventually(lambda: all_sent(s))
                    reset(s)
                    try: found = rest(connect(8099))
                    except OSError as error: found = b'', name(error)
                    assert found in ((b'', 'ECONNRESET'), (b'', 'ECONNREFUSED')), found
                    """
                for prefix in [[], try probing()] {
                    let outcome = try test.client.run(prefix + Peers.client(script))
                    #expect(outcome.status == .success, "\(outcome.errors)")
                    let milliseconds = Int(outcome.output.split(separator: "\n").first ?? "") ?? .max
                    #expect(milliseconds < (prefix.isEmpty ? 100 : 500), "the banner has come late")
                    try peers.waitForOutput("ECONNRESET")
                }
            }
        }

        /// What is at the destination, as people and programs are told.
        @Test func detecting() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let place = "10.77.2.2:7002"
                for isCached in [false, true] {
                    let nothing = try detect(test, [place])
                    #expect(nothing.status == .exited(1), "\(nothing.errors)")
                    #expect(nothing.output.hasPrefix("\(place): no gateway (gateway port"), "\(nothing.output)")
                    #expect(nothing.output.contains("cached until ") == isCached, "\(nothing.output)")
                }
                _ = try startGateway(test, ["--front", "7000=localhost:7002"], isPlain: false)
                let key = try test.server.succeed([try UnderTest.usl(), "identity", "--state", "/run/state"]).prefix(50)
                let inBand = try detect(test, ["10.77.2.2:7000", "--probe"])
                #expect(inBand.status == .success, "\(inBand.errors)")
                #expect(
                    inBand.output.hasPrefix("10.77.2.2:7000: gateway 10.77.2.2:7200 (in-band probe), ")
                        && inBand.output.contains("\n  key \(key)\n"), "\(inBand.output)")

                let gateway = try test.startGateway()
                let atPort = try detect(test, [place, "--plain", "--json"])
                #expect(atPort.status == .success, "\(atPort.errors)")
                for words in [
                    #""destination":"10.77.2.2:7002","found":true,"how":"port","cached_until":null,"gateways":["10.77.2.2:7117"]"#,
                    #""fingerprint":null"#,
                ] { #expect(atPort.output.contains(words), "\(atPort.output)") }
                gateway.terminate()

                let refused = try detect(test, ["10.77.2.2"])
                #expect(refused.status == .exited(125) && refused.output == "", "\(refused.errors)")
            }
        }

        /// What one command has found out the next one knows: an ordinary server, and a gateway whose key is known by then.
        @Test func findingsAreKept() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try startGateway(test, ["--front", "7000=localhost:7002"], isPlain: false)
                try test.server.countOpenings(port: UnderTest.gatewayPort)
                let script = "s = connect(int(sys.argv[1]), '10.77.2.2'); exactly(s, 10); pingpong(s, 3)"
                for (port, isSession) in [("7002", false), ("7000", true)] {
                    for _ in 0..<2 {
                        let outcome = try test.client.run(try probing([]) + Peers.client(script, [port]))
                        #expect(outcome.status == .success, "\(outcome.errors)")
                        #expect(outcome.errors.contains(": session ") == isSession, "\(outcome.errors)")
                    }
                }
                // One for each port.
                #expect(try test.server.countedOpenings() == 2)
                let known = try detect(test, ["10.77.2.2:7000", "--probe"])
                #expect(known.output.contains("in-band probe, cached until "), "\(known.output)")
            }
        }

        /// When the gateway's worker is killed, what it relays is reset, never ended; its fronts go on listening, and sessions live.
        @Test func theWorkerIsKilled() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let gateway = try startGateway(test, ["--front", "7000=localhost:7002"])
                let script = """
                    s = connect(7000, '10.77.2.2')
                    exactly(s, 10)
                    say('talking')
                    eventually(lambda: os.path.exists('/run/killed'))
                    if sys.argv[1] == 'session': pingpong(s, 10)
                    else: assert (found := rest(s)) == (b'', 'ECONNRESET'), found
                    """
                let relayed = try test.client.start(Peers.client(script, ["relayed"]))
                let session = try test.client.start(try probing() + Peers.client(script, ["session"]))
                try relayed.waitForOutput("talking")
                try session.waitForOutput("talking")
                try test.server.killProcesses(called: "usl", exceptFirst: true)
                try test.client.succeed(["touch", "/run/killed"])
                for client in [relayed, session] {
                    let status = try client.wait(.seconds(10))
                    #expect(status == .success, "\(client.standardError)")
                }
                try test.client.succeed(
                    Peers.client("s = connect(7000); exactly(s, 10); pingpong(s, 3)"))
                #expect(gateway.ended == nil, "\(gateway.standardError)")
            }
        }
    }
}
