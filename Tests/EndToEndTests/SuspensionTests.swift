import NetworkLab
import Testing

extension EndToEnd {
    /// Sessions without a link: each says why, for how long it may stay so, and what became of it, to whoever should know.
    @Suite struct SuspensionTests {
        /// A relay between agent and gateway that does to new connections what a file says.
        private static let relay = #"""
            PREFACE = b'USL/1\r\n\0'
            def frame(type, payload=b''): return struct.pack('>BBHIQQ', type, 0, 0, len(payload), 0, 0) + payload
            def item(type, value): return struct.pack('>HH', type, len(value)) + value
            def pump(a, b):
                try:
                    while data := a.recv(65536): b.sendall(data)
                except OSError: pass
                for s in (a, b):
                    try: s.shutdown(socket.SHUT_RDWR)
                    except OSError: pass
            def hello(s):
                """The preface and the first frame."""
                data = exactly(s, 32)
                return data + exactly(s, struct.unpack('>I', data[12:16])[0])
            def upstream(first):
                s = socket.create_connection((sys.argv[1], 7117))
                s.sendall(first)
                return s
            def join(s, t):
                threading.Thread(target=pump, args=(s, t), daemon=True).start()
                pump(t, s)
            def treat(s):
                first = hello(s)
                mode = open('/run/mode').read()
                if mode == 'pass': join(s, upstream(first))
                elif mode == 'unproven':
                    t = upstream(first)
                    answer = hello(t)
                    s.sendall(answer[:-1] + bytes([answer[-1] ^ 1]))
                    join(s, t)
                elif mode == 'stale-epoch':
                    hello(upstream(first))
                    join(s, upstream(first))
                elif mode == 'handshake-timeout': held.append(s)
                else:
                    s.sendall({
                        'link-closed': b'', 'not-usl': b'SSH-2.0-x\r\n', 'other-version': b'USL/2\r\n\0',
                        'protocol-error': PREFACE + frame(60),
                        'other-gateway': PREFACE + frame(6, item(10, b'\0\3') + item(8, bytes(8))),
                    }[mode])
                    s.shutdown(socket.SHUT_WR)
                    rest(s)
            def attempt(s):
                try: treat(s)
                except (OSError, AssertionError): pass
            held = []
            listener = socket.create_server(('127.0.0.1', 7200))
            say('relaying')
            while True: threading.Thread(target=attempt, args=(listener.accept()[0],), daemon=True).start()
            """#

        private static let reasons = [
            "link-closed", "not-usl", "other-version", "protocol-error", "other-gateway", "unproven", "stale-epoch",
            "handshake-timeout",
        ]

        /// Whatever goes wrong with its links, a suspended session says what, and goes on when it is mended.
        @Test func everyReason() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                func mode(_ mode: String) throws {
                    try test.client.succeed(["/bin/sh", "-c", "printf \(mode) > /run/m; mv /run/m /run/mode"])
                }
                try mode("pass")
                let relay = try test.client.start(Peers.client(Self.relay, [test.server.address]))
                try relay.waitForOutput("relaying")
                let prefix = [try UnderTest.usl(), "--plain", "-q", "--gateway", "127.0.0.1:7200", "--"]
                let talker = try test.client.start(prefix + Peers.client(Peers.conversation))
                try talker.waitForOutput("talking")
                for reason in Self.reasons {
                    try mode(reason)
                    try test.client.resetLinks()
                    try test.client.expectSessions(
                        "[(s['state'], s['reason']) for s in sessions] == [('suspended', '\(reason)')] and sessions[0]['expires']",
                        within: .seconds(15))
                    if reason == "link-closed" {
                        try test.server.expectSessions(
                            "[(s['state'], s['reason']) for s in sessions] == [('suspended', 'link-error')] and sessions[0]['expires']"
                        )
                    }
                    try mode("pass")
                    try test.client.expectSessions(
                        "[(s['state'], s['reason'], s['expires']) for s in sessions] == [('active', None, None)]",
                        within: .seconds(8))
                }
                try test.client.succeed(["touch", "/run/stop"])
                let status = try talker.wait(.seconds(10))
                #expect(status == .success && talker.standardError == "", "\(talker.standardError)")
                relay.terminate()
                peers.terminate()
            }
        }

        /// Nothing is lost and nothing is refused: the path swallows what is sent on it.
        @Test func aPathIsSilent() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                let talker = try test.client.start(test.prefix + Peers.client(Peers.conversation))
                try talker.waitForOutput("talking")
                try test.lab.router.block(port: UnderTest.gatewayPort, silently: true)
                try test.client.expectSessions(
                    "[(s['state'], s['reason']) for s in sessions] == [('suspended', 'silent')] and sessions[0]['expires']"
                )
                try waitUntil("a line", within: .seconds(6)) { () throws(LabError) in
                    talker.standardError.contains("for 3 s (silence); trying on, up to 24 h\n")
                }
                try test.lab.router.unblock()
                try test.client.expectSessions("[s['state'] for s in sessions] == ['active']")
                try talker.waitForLine(": resumed after ")
                try test.client.succeed(["touch", "/run/stop"])
                let status = try talker.wait(.seconds(10))
                #expect(status == .success)
                peers.terminate()
            }
        }

        /// The opener's link is gone before the target has accepted.
        @Test func aGatewayWaitsForTheFirstLink() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                try test.server.block(incoming: 7002)
                let client = try test.client.start(
                    test.prefix + Peers.client("s = connect(7002)\nexactly(s, 10)\nsay('there')"))
                try test.client.expectSessions("[s['state'] for s in sessions] == ['opening']")
                try test.lab.router.block(port: UnderTest.gatewayPort)
                for host in [test.client, test.server] { try host.resetLinks() }
                try test.server.unblock()
                try test.server.expectSessions(
                    "[(s['state'], s['reason']) for s in sessions] == [('suspended', 'link-lost')]", within: .seconds(8)
                )
                try test.lab.router.unblock()
                try client.waitForOutput("there", within: .seconds(10))
                peers.terminate()
            }
        }

        /// Three seconds are worth a line at both ends, and so is their end; shorter pauses are not.
        @Test func pausesAreTold() throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                let gateway = try test.startGateway()
                let loud = try test.client.start(test.prefix + Peers.client(Peers.conversation))
                let quiet = try test.client.start(test.prefix(["-q"]) + Peers.client(Peers.conversation))
                for talker in [loud, quiet] { try talker.waitForOutput("talking") }
                func interrupt(until condition: () throws -> Void) throws {
                    try test.lab.router.block(port: UnderTest.gatewayPort)
                    for host in [test.client, test.server] { try host.resetLinks() }
                    try condition()
                    try test.lab.router.unblock()
                    try test.client.expectSessions("[s['state'] for s in sessions] == ['active'] * 2")
                }
                try interrupt {
                    try test.client.expectSessions("[s['state'] for s in sessions] == ['suspended'] * 2")
                }
                #expect(loud.standardError == "" && gateway.standardError == "")
                try interrupt {
                    try waitUntil("lines at both ends", within: .seconds(6)) { () throws(LabError) in
                        loud.standardError.contains("24 h\n") && gateway.standardError.split(separator: "\n").count == 2
                    }
                }
                try waitUntil("lines about the end", within: .seconds(3)) { () throws(LabError) in
                    loud.standardError.split(separator: "\n").count == 2
                        && gateway.standardError.split(separator: "\n").count == 4
                }
                let said = loud.standardError.split(separator: "\n")
                #expect(
                    said[0].wholeMatch(
                        of:
                            /usl: python3\S* to \S+:7002: no answer from gateway 10\.77\.2\.2:7117 for 3 s \(.+\); trying on, up to 24 h/
                    ) != nil, "\(said[0])")
                #expect(
                    said[1].wholeMatch(of: /usl: python3\S* to \S+:7002: resumed after \d+ s/) != nil,
                    "\(said[1])")
                let logged = gateway.standardError.split(separator: "\n")
                #expect(
                    logged[0].wholeMatch(
                        of:
                            /usl: session [0-9a-f]{8} from 10\.77\.1\.2:\d+ to \S+:7002: no link for 3 s \(.+\); kept for up to 24 h/
                    ) != nil, "\(logged[0])")
                #expect(logged.suffix(2).allSatisfy { $0.contains(": resumed after ") }, "\(logged)")
                try test.client.succeed(["touch", "/run/stop"])
                for talker in [loud, quiet] {
                    let status = try talker.wait(.seconds(10))
                    #expect(status == .success)
                }
                #expect(quiet.standardError == "")
                peers.terminate()
            }
        }

        /// Talks, says so, and tells how its connection ends.
        static let endures = """
            s = connect(7002)
            exactly(s, 10)
            pingpong(s, 5)
            say('talking')
            say('ended', rest(s)[1])
            """

        /// The smaller limit of the two ends counts; both applications see a reset, and both ends say why.
        @Test(arguments: [true, false])
        func expiry(atClient: Bool) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Peers.tellingServer))
                try server.waitForOutput("serving")
                let limit = ["--suspend", "2s"]
                let gateway = try test.startGateway(atClient ? [] : limit)
                let client = try test.client.start(test.prefix(atClient ? limit : []) + Peers.client(Self.endures))
                try client.waitForOutput("talking")
                for host in [test.client, test.server] {
                    try host.expectSessions("[(s['suspend_limit'], s['expires']) for s in sessions] == [(2, None)]")
                }
                try test.lab.router.block(port: UnderTest.gatewayPort)
                for host in [test.client, test.server] { try host.resetLinks() }
                for host in [test.client, test.server] {
                    try host.expectSessions(
                        "sessions and sessions[0]['state'] == 'suspended' and sessions[0]['expires'] > sessions[0]['since']"
                    )
                }
                try client.waitForOutput("ended ECONNRESET", within: .seconds(5))
                try server.waitForOutput("ended ECONNRESET", within: .seconds(5))
                for host in [test.client, test.server] { try host.expectSessions("sessions == []") }
                try client.waitForLine("no link for longer than the suspend limit; the connection is reset")
                try gateway.waitForOutput("no link for longer than the suspend limit; the server's connection is reset")
                server.terminate()
            }
        }
    }
}
