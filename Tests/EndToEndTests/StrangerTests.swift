import NetworkLab
import Testing

extension EndToEnd {
    /// What is no agent, or a broken one, at a gateway's port: each is closed and told of in one line, while the sessions
    /// of others go on.
    @Suite struct StrangerTests {
        private static let strangers = #"""
            PREFACE = b'USL/1\r\n\0'
            def frame(type, length, payload=b''): return struct.pack('>BBHIQQ', type, 0, 0, length, 0, 0) + payload
            def dial(): return socket.create_connection((sys.argv[1], 7117))
            def said(data):
                s = dial()
                s.sendall(data)
                s.settimeout(12)
                return rest(s)
            def item(kind, value): return struct.pack('>HH', kind, len(value)) + value
            OPEN = (item(0x8001, os.urandom(16)) + item(0x8002, os.urandom(32)) + item(0x8004, b'\6')
                + item(0x8003, socket.inet_aton(sys.argv[1]) + struct.pack('>H', 7001)))
            ATTACH = (item(0x8001, os.urandom(16)) + item(0x8005, bytes(4)) + item(0x8006, bytes(8))
                + item(0x8007, bytes(8)) + item(0x800d, bytes(32)))
            quick = {
                'another protocol': b'GET / HTTP/1.0\r\n\r\n',
                'TLS': b'\x16\x03\x01\x02\x00',
                'another version': b'USL/2\r\n\0',
                'garbage behind the preface': PREFACE + bytes(range(100, 200)),
                'an unknown frame': PREFACE + frame(60, 0),
                'DATA before OPEN': PREFACE + frame(16, 5, b'hello'),
                'a length over the limit': PREFACE + frame(1, 16385),
                'the longest length': PREFACE + frame(16, 2**32 - 1),
                'an empty OPEN': PREFACE + frame(1, 0),
                'an OPEN of zeros': PREFACE + frame(1, 200, bytes(200)),
                'an ATTACH of zeros': PREFACE + frame(4, 92, bytes(92)),
                'an OPEN with an unknown critical item':
                    PREFACE + frame(1, len(OPEN) + 5, OPEN + item(0x80ff, b'!')),
                'an ATTACH with an unknown critical item':
                    PREFACE + frame(4, len(ATTACH) + 5, item(0x80ff, b'!') + ATTACH),
                'an ATTACH of a session that nobody has': PREFACE + frame(4, len(ATTACH), ATTACH),
            }
            for kind in range(256):
                if kind not in (1, 4): quick[f'frame {kind} first'] = PREFACE + frame(kind, 0)
            for kind, body in ((1, OPEN), (4, ATTACH)):
                # Lengths that end in the middle of an item, and bytes that never come.
                for count in range(len(body)):
                    quick[f'{count} bytes as frame {kind}'] = PREFACE + frame(kind, count, body[:count])
                whole = PREFACE + frame(kind, len(body), body)
                for count in range(len(whole)):
                    s = dial()
                    s.sendall(whole[:count])
                    s.shutdown(socket.SHUT_WR)
                    s.settimeout(2)
                    assert rest(s)[1] in ('EOF', 'ECONNRESET'), (kind, count)
            for what, data in quick.items():
                begin = time.monotonic()
                answer, how = said(data)
                assert how in ('EOF', 'ECONNRESET'), (what, how)
                assert time.monotonic() - begin < 2, what
                assert b'USL/1' in answer or not data.startswith(b'USL'), (what, answer)

            # Whoever stops in the middle, or says nothing, or a byte now and then, has two seconds here; of many from one
            # address the oldest are closed.
            slow = [dial() for _ in range(300)]
            for s in slow[:100]: s.sendall(PREFACE[:5])
            for s in slow[100:200]: s.sendall(PREFACE + frame(1, 200)[:20])
            dripping = dial()
            begin = time.monotonic()
            for byte in PREFACE + frame(1, 200, bytes(200)):
                try: dripping.sendall(bytes([byte]))
                except OSError: break
                time.sleep(0.1)
            assert time.monotonic() - begin < 4
            for s in slow:
                s.settimeout(max(0.1, begin + 5 - time.monotonic()))
                assert (found := rest(s)[1]) in ('EOF', 'ECONNRESET'), found
            """#

        @Test func areClosed() throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                try test.server.succeed([
                    "/bin/sh", "-c", "printf '[limits]\\nhandshake-time = \"2s\"\\n' > /run/usl.toml",
                ])
                let gateway = try test.startGateway(["--policy", "/run/usl.toml"])
                let talker = try test.client.start(test.prefix + Peers.client(Peers.conversation))
                try talker.waitForOutput("talking")
                try test.client.succeed(
                    Peers.client(Self.strangers, [test.server.address]), within: .seconds(40))
                try test.client.succeed(["touch", "/run/stop"])
                let status = try talker.wait(.seconds(10))
                #expect(status == .success, "\(talker.standardError)")
                #expect(
                    talker.standardOutput.hasSuffix(" verified\n") && talker.standardError == "",
                    "\(talker.standardError)")
                #expect(gateway.ended == nil)
                // What has come of them all, and that nobody of them is left.
                let figures = try test.server.figuresWithoutStrangers()
                for text in [
                    "\"gateways\":[{\"process\":", "\"limit\":4096,\"limit_per_address\":256}",
                    "\"opening\":{\"now\":0,", "\"handshake_time_ms\":2000", "\"handshakes-per-address\":45,",
                    "\"tls\":1,", "\"other-version\":1,", "\"not-allowed\":0",
                ] { #expect(figures.contains(text), "\(text) is not in \(figures)") }
                let line = try test.server.succeed([try UnderTest.usl(), "status"])
                #expect(
                    line.hasPrefix("gateway ") && line.contains(": turned away: ") && line.contains(" 1 tls"), "\(line)"
                )
                peers.terminate()
            }
        }

        /// Thousands of connections, from many addresses; the whole of it is `usl-lab flood`.
        @Test func floodNobodyOut() throws {
            try Lab.with(hosts: ["host"]) { lab in
                let outcome = try lab["host"].run(
                    [
                        try LabTool.path(), "flood", "--usl", try UnderTest.usl(), "--connections", "4000", "--seconds",
                        "20",
                    ], within: .seconds(60))
                #expect(outcome.status == .success, "\(outcome.output)\(outcome.errors)")
                #expect(outcome.output.contains(" connections from 200 addresses in "), "\(outcome.output)")
            }
        }

        /// One line for each kind of trouble.
        @Test func areTold() throws {
            try UnderTest.withoutGateway { test in
                let gateway = try test.startGateway()
                try test.client.succeed(
                    Peers.client(
                        """
                        for _ in range(50):
                            for data in (b'GET / HTTP/1.0\\r\\n\\r\\n', b'\\x16\\x03\\x01', b'USL/2\\r\\n\\0', b'USL/1\\r\\n\\0' + b'x' * 24):
                                s = socket.create_connection((sys.argv[1], 7117))
                                s.sendall(data)
                                rest(s)
                        """, [test.server.address]))
                let lines = gateway.standardError.split(separator: "\n")
                for text in [
                    "does not speak USL; closed", "speaks TLS, and this gateway plain; closed",
                    "speaks another version of USL, this gateway version 1; closed", "broke the protocol (",
                ] {
                    #expect(lines.count { $0.hasPrefix("usl: 10.77.1.2:") && $0.contains(": \(text)") } == 1, "\(text)")
                }
                #expect(lines.count == 4, "\(lines.prefix(8))")
            }
        }

        /// A gateway connects where it is allowed to; anything else is refused, and both sides are told why.
        @Test(arguments: [
            ("10.77.2.0/24:7000-7002", true), ("10.77.2.0/24:7003", false), ("10.77.1.0/24:7002", false),
            ("*:7002", true), ("localhost:7002", true), ("127.0.0.1:7001-7009", true), ("server:7002", true),
            ("[fd77:2::2]:7002", false),
        ])
        func reachWhatIsAllowed(target: String, isAllowed: Bool) throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let gateway = try test.startGateway(allow: target)
                let outcome = try test.client.run(
                    test.prefix + Peers.client("s = connect(7002, '10.77.2.2')\nexactly(s, 10)\npingpong(s, 5)"))
                if isAllowed {
                    #expect(outcome.status == .success, "\(outcome.errors)")
                } else {
                    #expect(outcome.errors.contains("ConnectionRefusedError"))
                    let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("usl: ") }
                    #expect(
                        lines == [
                            "usl: gateway 10.77.2.2:7117 refuses 10.77.2.2:7002: "
                                + "the gateway does not allow 10.77.2.2:7002; the nearest rule is --allow \(target)"
                        ], "\(outcome.errors)")
                    try gateway.waitForOutput(": 10.77.2.2:7002 refused: no --allow has it\n")
                }
            }
        }
    }
}
