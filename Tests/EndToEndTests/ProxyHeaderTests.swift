import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// `usl gateway --send-proxy`: servers learn who asks, and the session knows nothing of it.
    @Suite struct ProxyHeaderTests {
        /// A server that takes the header apart, says what it has, and then echoes.
        private static let server = #"""
            def run(s):
                try:
                    head = exactly(s, 16)
                    assert head[:14] == b'\r\n\r\n\0\r\nQUIT\n\x21' + head[13:14], head
                    block = exactly(s, head[14] << 8 | head[15])
                    size, family = {0x11: (4, socket.AF_INET), 0x21: (16, socket.AF_INET6)}[head[13]]
                    source, target = (socket.inet_ntop(family, block[i:i + size]) for i in (0, size))
                    ports = struct.unpack('>HH', block[2 * size:])
                    say('from', source, 'to', target, ports[1])
                    while data := s.recv(65536): s.sendall(data)
                    s.close()
                except (OSError, AssertionError) as error: say('ended', repr(error))
            listener = socket.create_server(('::', 7002), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
            say('serving')
            while True: threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()
            """#

        /// The client's address in every pairing of families.
        @Test(arguments: [
            ("10.77.2.2", "10.77.2.2", "from 10.77.1.2 to 10.77.2.2 7002"),
            ("[fd77:2::2]", "fd77:2::2", "from fd77:1::2 to fd77:2::2 7002"),
            ("[fd77:2::2]", "10.77.2.2", "from fd77:1::2 to ::ffff:10.77.2.2 7002"),
            ("10.77.2.2", "fd77:2::2", "from ::ffff:10.77.1.2 to fd77:2::2 7002"),
        ])
        func clientsAreTold(gateway: String, server address: String, line: String) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Self.server))
                try server.waitForOutput("serving")
                _ = try test.startGateway(["--send-proxy"])
                let outcome = try test.client.run(
                    [try UnderTest.usl(), "--plain", "--gateway", "\(gateway):7117", "--"]
                        + Peers.client("s = connect(7002, '\(address)')\npingpong(s, 50)"))
                #expect(outcome.status == .success, "\(outcome.errors)")
                #expect(server.standardOutput == "serving\n\(line)\n")
            }
        }

        /// A server that others have written.
        @Test func aProxyUnderstandsIt() throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                try test.server.succeed(
                    ["/bin/sh", "-c", "cat > /run/haproxy.cfg"],
                    input: .bytes(
                        Array(
                            """
                            defaults
                                mode http
                                timeout client 5s
                                timeout connect 5s
                                timeout server 5s
                            frontend f
                                bind :8080 accept-proxy
                                http-request return status 200 content-type text/plain lf-string "%[src] %[dst] %[dst_port]"

                            """.utf8)))
                let proxy = try test.serve(["haproxy", "-db", "-f", "/run/haproxy.cfg"], port: 8080)
                _ = try test.startGateway(["--send-proxy"])
                let text = try test.client.succeed(test.prefix + ["curl", "-sS", "http://10.77.2.2:8080/"])
                #expect(text == "10.77.1.2 10.77.2.2 8080")
                proxy.terminate()
                peers.terminate()
            }
        }

        /// A successor counts positions from behind the header, whenever its predecessor was killed; and each connection that
        /// a server has seen has one header, and is whole.
        @Test func theGatewayIsKilled() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Self.server))
                try server.waitForOutput("serving")
                let gateway = try test.startGateway(["--send-proxy"])
                let script = """
                    long = connect(7002, '10.77.2.2')
                    pingpong(long, 1)
                    say('talking')
                    count = 0
                    while not os.path.exists('/run/stop'):
                        with connect(7002, '10.77.2.2') as s: pingpong(s, 5, 5000)
                        pingpong(long, 5, 20000)
                        count += 1
                    pingpong(long, 1)
                    say(count, 'verified')
                    """
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(script))
                try client.waitForOutput("talking")
                let end = ContinuousClock.now + .seconds(6)
                var kills = 0
                while .now < end, client.ended == nil {
                    // Between two workers there is none.
                    if (try? test.server.killProcesses(called: "usl", exceptFirst: true)) != nil { kills += 1 }
                    usleep(UInt32.random(in: 0..<800_000))
                }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(20))
                let status = try client.wait(.seconds(10))
                #expect(status == .success && client.standardError == "", "\(client.standardError)")
                #expect(kills >= 5 && gateway.ended == nil)
                // What a connection hears first is a header, or nothing at all.
                let lines = Set(server.standardOutput.split(separator: "\n"))
                let allowed: Set<Substring> = ["serving", "from 10.77.1.2 to 10.77.2.2 7002"]
                for line in lines.subtracting(allowed) {
                    #expect(line.contains("ConnectionResetError") || line.contains("after 0 of 16"), "\(line)")
                }
            }
        }
    }
}
