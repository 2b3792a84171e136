import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// UDP ASSOCIATE at the port of `usl agent --socks`.
    @Suite struct SocksDatagramTests {
        /// What clients in Python use besides.
        private static let prelude = #"""
            import os, time
            def associate(port=0):
                s = ask('0.0.0.0', port, command=3)
                code, host, relay = reply(s)
                assert (code, host) == (0, '127.0.0.1') and relay > 0, (code, host, relay)
                return s, (host, relay)
            def endpoint(host='127.0.0.1'):
                u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                u.bind((host, 0))
                u.settimeout(10)
                return u
            def datagram(host, port, content, fragment=0):
                return bytes([0, 0, fragment]) + address(host, port) + content
            def until(condition):
                deadline = time.monotonic() + 10
                while not condition():
                    assert time.monotonic() < deadline, 'too late'
                    time.sleep(0.01)
            def descriptors():
                """Of the agent, with its keeper: of whatever has its command line in this network."""
                count, here = 0, os.readlink('/proc/self/ns/net')
                for process in filter(str.isdigit, os.listdir('/proc')):
                    try:
                        if os.readlink(f'/proc/{process}/ns/net') != here: continue
                        if b'agent\0--socks' in open(f'/proc/{process}/cmdline', 'rb').read():
                            count += len(os.listdir(f'/proc/{process}/fd'))
                    except (FileNotFoundError, ProcessLookupError, PermissionError): pass
                return count

            """#

        /// Says what it was told, to whoever said it, at port 9999.
        private static let echo = """
            import socket
            server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            server.bind(('::', 9999))
            print('serving', flush=True)
            while True:
                content, client = server.recvfrom(65535)
                server.sendto(content, client)
            """

        private static let policy = """
            [[rule]]
            protocol = "udp"
            port = 9998
            treatment = "refuse"
            """

        /// The server's names are served at 10.77.2.2, and 10.77.2.9 is silent.
        private func withServers(_ body: (UnderTest, LabProcess) throws -> Void) throws {
            try UnderTest.withoutGateway { test in
                let names = try test.server.start(
                    NameServer.command(at: test.server.address, zone: ["db.test A 192.0.2.80"]))
                let echo = try test.server.start(["/usr/bin/python3", "-c", Self.echo])
                try names.waitForOutput("serving")
                try echo.waitForOutput("serving")
                try test.lab.router.drop("ip daddr 10.77.2.9 udp dport 53", table: "silence")
                try test.client.succeed(["/bin/sh", "-c", "printf '10.77.2.9 ns\\n10.77.2.2 ns\\n' >> /run/hosts"])
                try test.client.succeed(
                    ["/bin/sh", "-c", "cat > /run/usl.toml"], input: .bytes(Array(Self.policy.utf8)))
                let agent = try test.client.start([
                    try UnderTest.usl(), "agent", "--socks", "localhost:1080", "--state", "/run/agent-state", "--plain",
                    "--policy", "/run/usl.toml", "-v",
                ])
                try test.client.waitForListener(port: 1080)
                try body(test, agent)
            }
        }

        private func check(_ test: UnderTest, _ script: String) throws {
            let outcome = try test.client.run(SocksTests.client(Self.prelude + script), within: .seconds(60))
            #expect(outcome.status == .success, "\(outcome.errors)\(outcome.output)")
        }

        /// A program of others (PySocks) asks a name server of which an address is silent, by name and by address.
        @Test func aSilentNameServer() throws {
            try withServers { test, agent in
                try check(
                    test,
                    #"""
                    import socks
                    query = b'\x12\x34\x01\x00\x00\x01' + bytes(6) + b'\x02db\x04test\x00\x00\x01\x00\x01'
                    s = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
                    s.set_proxy(socks.SOCKS5, '127.0.0.1', 1080)
                    s.settimeout(10)
                    s.sendto(query, ('ns', 53))
                    answer, sender = s.recvfrom(4096)
                    assert sender in (('10.77.2.2', 53), ('10.77.2.9', 53)), sender
                    assert answer[:2] == query[:2] and answer.endswith(socket.inet_aton('192.0.2.80')), answer
                    s.sendto(query, ('10.77.2.9', 53))
                    answer, sender = s.recvfrom(4096)
                    assert sender == ('10.77.2.9', 53), sender
                    assert answer[:2] == query[:2] and answer.endswith(socket.inet_aton('192.0.2.80')), answer
                    """#)
                let said = agent.standardError
                #expect(said.contains("10.77.2.9:53 does not answer; 10.77.2.2:53 does"), "\(said)")
                #expect(said.contains("socks to 10.77.2.9:53: datagrams through a relay"), "\(said)")
            }
        }

        @Test func datagramsAndTheirSenders() throws {
            try withServers { test, agent in
                try check(
                    test,
                    #"""
                    # What no rule lists goes as it is, whatever its destination is called.
                    u = endpoint()
                    s, relay = associate()
                    for host, peer in ('10.77.2.2', '10.77.2.2'), ('fd77:2::2', 'fd77:2::2'), ('server', None):
                        for content in b'hello', b'', bytes(1200):
                            u.sendto(datagram(host, 9999, content), relay)
                            found, sender = u.recvfrom(65535)
                            assert sender == relay
                            if peer: assert found == datagram(peer, 9999, content), found
                            else: assert found.endswith(content) and found[3] in (1, 4), found
                    # From another address, from another port than the first, fragments, no header, and what a rule refuses: nothing.
                    for announced in False, True:
                        u, other, far = endpoint(), endpoint(), endpoint('127.0.0.2')
                        s, relay = associate(u.getsockname()[1] if announced else 0)
                        far.sendto(datagram('10.77.2.2', 9999, b'far'), relay)
                        if not announced:
                            u.sendto(datagram('10.77.2.2', 9999, b'first'), relay)
                            assert u.recv(100).endswith(b'first')
                        other.sendto(datagram('10.77.2.2', 9999, b'other'), relay)
                        u.sendto(datagram('10.77.2.2', 9999, b'fragment', fragment=1), relay)
                        u.sendto(datagram('10.77.2.2', 9999, b'')[:9], relay)
                        u.sendto(datagram('10.77.2.2', 9998, b'refused'), relay)
                        u.sendto(datagram('nobody.invalid', 9999, b'nowhere'), relay)
                        u.sendto(datagram('10.77.2.2', 9999, b'last'), relay)
                        assert u.recv(100) == datagram('10.77.2.2', 9999, b'last')
                        for silent in other, far:
                            silent.setblocking(False)
                            try: assert False, silent.recv(100)
                            except (BlockingIOError, ConnectionRefusedError): pass
                    """#)
                let said = agent.standardError
                #expect(said.contains("socks to 10.77.2.2:9999: datagrams sent directly"), "\(said)")
                #expect(said.contains("socks to 10.77.2.2:9998: datagrams dropped: a rule refuses it"), "\(said)")
                #expect(said.contains("fragments are dropped"), "\(said)")
            }
        }

        /// An association goes with the connection on which it was asked for, with all that it has.
        @Test func theEnd() throws {
            try withServers { test, agent in
                try check(
                    test,
                    #"""
                    def use(relay, u):
                        for port in 9999, 53:
                            query = b'\x12\x34\x01\x00\x00\x01' + bytes(6) + b'\x02db\x04test\x00\x00\x01\x00\x01'
                            u.sendto(datagram('10.77.2.2', port, query), relay)
                            assert u.recv(4096)[:10] == datagram('10.77.2.2', port, b'')
                    def isGone(u):
                        try: u.send(b'?')
                        except ConnectionRefusedError: return True
                    before = None
                    for way in 'close', 'shutdown', 'reset':
                        start = descriptors()
                        assert before in (None, start) and start > 0, (before, start)
                        u = endpoint()
                        s, relay = associate()
                        use(relay, u)
                        assert descriptors() >= start + 5, (start, descriptors())
                        if way == 'shutdown': s.shutdown(socket.SHUT_WR)
                        if way == 'reset': s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                        if way != 'shutdown': s.close()
                        u.connect(relay)
                        until(lambda: isGone(u))
                        if way == 'shutdown': assert rest(s) == (b'', 'EOF')
                        until(lambda: descriptors() == start)
                        before = start
                    # Not more than 256.
                    many = [ask('0.0.0.0', 0, command=3) for _ in range(257)]
                    assert [reply(s)[0] for s in many] == [0] * 256 + [1]
                    for s in many: s.close()
                    until(lambda: descriptors() == before)
                    """#)
                #expect(agent.terminate() == .exited(0))
            }
        }
    }
}
