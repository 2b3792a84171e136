import NetworkLab
import Testing

extension EndToEnd {
    /// What OpenSSL's own client, and raw bytes, get at a gateway whose links are TLS, while a session of others goes on.
    @Suite struct TLSStrangerTests {
        private static let handshakes = #"""
            os.chdir('/run')
            subprocess.run('openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x'
                ' -keyout key.pem -out certificate.pem', shell=True, check=True, stderr=subprocess.DEVNULL)
            subprocess.run('openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x'
                ' -keyout rsa-key.pem -out rsa-certificate.pem', shell=True, check=True, stderr=subprocess.DEVNULL)
            def client(options, data=b''):
                """Whether a handshake was made, and what came back behind it."""
                begin = time.monotonic()
                done = subprocess.run(f'openssl s_client -connect {sys.argv[1]}:7117 -quiet {options}', shell=True,
                    input=data, capture_output=True, timeout=10)
                assert time.monotonic() - begin < 5, options
                return done.returncode, done.stdout
            key = ' -cert certificate.pem -key key.pem'
            for options in ('-tls1_2 -alpn usl/1' + key, '-tls1_3 -alpn h2' + key, '-tls1_3' + key,
                            '-tls1_3 -alpn usl/1', '-tls1_3 -alpn usl/1 -cert rsa-certificate.pem -key rsa-key.pem',
                            '-tls1_3 -alpn usl/1 -curves secp521r1 -sigalgs rsa_pss_rsae_sha256' + key):
                code, answer = client(options)
                assert answer == b'', (options, answer)
            # Whoever has a key is heard, and no more than that.
            good = '-tls1_3 -alpn usl/1' + key
            assert client(good, b'GET / HTTP/1.0\r\n\r\n')[1] == b''
            assert client(good, b'USL/1\r\n\0' + bytes(range(100, 200)))[1].startswith(b'USL/1\r\n\0')

            def said(data, limit=5):
                s = socket.create_connection((sys.argv[1], 7117))
                s.settimeout(limit)
                try: s.sendall(data)
                except OSError: pass
                return rest(s)
            def hello(): return subprocess.run(
                'openssl s_client -connect 127.0.0.1:7443 -tls1_3 -alpn usl/1 -quiet', shell=True, input=b'',
                capture_output=True, timeout=10)
            # A ClientHello as it is, and cut at every few bytes.
            listener = socket.create_server(('127.0.0.1', 7443))
            caller = threading.Thread(target=hello)
            caller.start()
            peer = listener.accept()[0]
            flight = peer.recv(65536)
            peer.close()
            caller.join()
            assert flight[0] == 0x16 and len(flight) > 100
            for count in range(1, len(flight), 7):
                s = socket.create_connection((sys.argv[1], 7117))
                s.sendall(flight[:count])
                s.shutdown(socket.SHUT_WR)
                s.settimeout(5)
                assert rest(s)[1] in ('EOF', 'ECONNRESET'), count
            # Lengths that lie, a handshake without an end, the same flight twice.
            for data in (b'\x16\x03\x01\xff\xff' + os.urandom(70000), b'\x16\x03\x01\x40\x00' + bytes(16384) * 5,
                         flight + flight, flight[:5] + os.urandom(len(flight))):
                answer, how = said(data)
                assert how in ('EOF', 'ECONNRESET'), how
            # And one that stops in the middle: two seconds, here.
            begin = time.monotonic()
            slow = [socket.create_connection((sys.argv[1], 7117)) for _ in range(50)]
            for s in slow: s.sendall(flight[:50])
            for s in slow:
                s.settimeout(5)
                assert rest(s)[1] in ('EOF', 'ECONNRESET')
            assert time.monotonic() - begin < 5
            say('all closed')
            """#

        @Test func areClosed() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let usl = try UnderTest.usl()
                try test.server.succeed([
                    "/bin/sh", "-c", "printf '[limits]\\nhandshake-time = \"2s\"\\n' > /run/usl.toml",
                ])
                let gateway = try test.server.start([
                    usl, "gateway", "--allow", "*:1-65535", "--state", "/run/state", "--policy", "/run/usl.toml",
                ])
                try test.server.waitForListener(port: UnderTest.gatewayPort)
                let talker = try test.client.start(
                    [usl, "-q", "--state", "/run/state", "--gateway", test.server.address, "--"]
                        + Peers.client(Peers.conversation))
                try talker.waitForOutput("talking")
                let outcome = try test.client.run(
                    Peers.client(Self.handshakes, [test.server.address]), within: .seconds(60))
                #expect(outcome.output == "all closed\n", "\(outcome.errors)\(gateway.standardError)")
                try test.client.succeed(["touch", "/run/stop"])
                let status = try talker.wait(.seconds(10))
                #expect(status == .success && talker.standardError == "", "\(talker.standardError)")
                #expect(gateway.ended == nil)
                for text in [
                    "does not speak TLS 1.3; closed", "speaks TLS, but not for USL; closed", "has shown no key; closed",
                    "does not speak USL; closed", "broke the protocol (", "said nothing that counts within 2s; closed",
                ] { try gateway.waitForOutput(text) }
                _ = try test.server.figuresWithoutStrangers()
            }
        }
    }
}
