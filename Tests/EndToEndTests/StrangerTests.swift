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
            }
            for what, data in quick.items():
                begin = time.monotonic()
                answer, how = said(data)
                assert how in ('EOF', 'ECONNRESET'), (what, how)
                assert time.monotonic() - begin < 2, what
                assert b'USL/1' in answer or not data.startswith(b'USL'), (what, answer)

            # Whoever stops in the middle, or says nothing, has ten seconds; many from one address are too many.
            slow = [dial() for _ in range(300)]
            for s in slow[:100]: s.sendall(PREFACE[:5])
            for s in slow[100:200]: s.sendall(PREFACE + frame(1, 200)[:20])
            begin = time.monotonic()
            for s in slow:
                s.settimeout(max(0.1, begin + 12 - time.monotonic()))
                assert (found := rest(s)[1]) in ('EOF', 'ECONNRESET'), found
            """#

        @Test func areClosed() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
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
                peers.terminate()
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
                    #expect(gateway.standardError.contains(": 10.77.2.2:7002 refused: no --allow has it\n"))
                }
            }
        }
    }
}
