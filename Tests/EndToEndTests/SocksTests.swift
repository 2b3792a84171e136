import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// `usl agent --socks`: what programs hear that use it, and what becomes of their connections.
    @Suite struct SocksTests {
        /// What clients in Python use besides.
        static let prelude = #"""
            def hello(host='127.0.0.1', port=1080): return socket.create_connection((host, port))
            def address(host, port):
                try: return b'\x01' + socket.inet_pton(socket.AF_INET, host) + struct.pack('>H', port)
                except OSError: pass
                try: return b'\x04' + socket.inet_pton(socket.AF_INET6, host) + struct.pack('>H', port)
                except OSError: return b'\x03' + bytes([len(host)]) + host.encode() + struct.pack('>H', port)
            def reply(s):
                """The code of an answer, and the address in it."""
                version, code, _, kind = exactly(s, 4)
                assert version == 5
                family, length = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
                host = socket.inet_ntop(family, exactly(s, length))
                return code, host, struct.unpack('>H', exactly(s, 2))[0]
            def ask(host, port, command=1, greeting=b'\x05\x01\x00'):
                s = hello()
                s.sendall(greeting)
                assert exactly(s, 2) == b'\x05\x00'
                s.sendall(bytes([5, command, 0]) + address(host, port))
                return s
            def socks(host, port):
                s = ask(host, port)
                assert (code := reply(s)[0]) == 0, code
                return s
            def tunnel(host, port, more=b''):
                s = hello()
                s.sendall(f'CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n'.encode() + more)
                return s, head(s)
            def head(s):
                data = b''
                while not data.endswith(b'\r\n\r\n'): data += exactly(s, 1)
                return int(data.split()[1])

            """#

        static func client(_ script: String) -> [String] { Peers.client(prelude + script) }

        private func start(
            _ test: UnderTest, _ options: [String], listen: String = "localhost:1080", isPlain: Bool = true
        ) throws
            -> LabProcess
        {
            let agent = try test.client.start(
                [try UnderTest.usl(), "agent", "--socks", listen, "--state", "/run/agent-state"]
                    + (isPlain ? ["--plain"] : [])
                    + options)
            try test.client.waitForListener(port: 1080)
            return agent
        }

        private func check(_ test: UnderTest, _ script: String, within limit: Duration = .seconds(30)) throws {
            let outcome = try test.client.run(Self.client(script), within: limit)
            #expect(outcome.status == .success, "\(outcome.errors)\(outcome.output)")
        }

        /// Every way to be connected.
        enum Way: String, CaseIterable, CustomTestStringConvertible {
            case session, shim, direct
            var testDescription: String { rawValue }

            var options: [String] {
                switch self {
                case .session: ["--gateway", "10.77.2.2"]
                case .shim: ["--treatment", "shim"]
                case .direct: ["--treatment", "direct"]
                }
            }
        }

        @Test(arguments: Way.allCases) func connectionsAndAnswers(way: Way) throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                if way == .session { _ = try test.startGateway() }
                let agent = try start(test, way.options)
                try check(
                    test,
                    """
                    for host in '10.77.2.2', 'fd77:2::2', 'server':
                        for make in socks, lambda *where: tunnel(*where)[0]:
                            if make is not socks and ':' in host: host = f'[{host}]'
                            s = make(host, 7002)
                            assert exactly(s, 10) == b'220 ready\\n'
                            pingpong(s, 20)
                            s = make(host, 7003)
                            s.sendall(MEBIBYTE)
                            s.shutdown(socket.SHUT_WR)
                            assert rest(s) == (MEBIBYTE, 'EOF')
                            s = make(host, 7005)
                            s.sendall(b'!')
                            assert (found := rest(s)) == (b'bytes before', 'ECONNRESET'), found
                    # From where it was connected.
                    code, local, port = reply(ask('10.77.2.2', 7002))
                    assert (code, local) == (0, '10.77.1.2') and port > 0, (code, local, port)
                    assert reply(ask('fd77:2::2', 7002))[:2] == (0, 'fd77:1::2')
                    # A port where nobody listens, and names that are none.
                    s = ask('10.77.2.2', 7099)
                    assert (code := reply(s)[0]) == 5, code
                    assert rest(s) == (b'', 'EOF')
                    for host in '10.77.2.2', 'server':
                        s, code = tunnel(host, 7099, b'bytes that nobody wants' * 1000)
                        assert code == 502 and rest(s)[1] == 'EOF', code
                    assert reply(ask('nobody.invalid', 7002))[0] == 4
                    assert tunnel('nobody.invalid', 7002)[1] == 502
                    # What follows a request before its answer belongs to the connection.
                    s = hello()
                    s.sendall(b'\\x05\\x01\\x00\\x05\\x01\\x00' + address('10.77.2.2', 7007) + b'early')
                    assert exactly(s, 2) == b'\\x05\\x00' and reply(s)[0] == 0 and exactly(s, 5) == b'early'
                    s, code = tunnel('10.77.2.2', 7007, MEBIBYTE[:200000])
                    assert code == 200 and exactly(s, 200000) == MEBIBYTE[:200000]
                    # What is not served.
                    assert reply(ask('10.77.2.2', 7002, command=2))[0] == 7
                    assert reply(ask('0.0.0.0', 0, command=3))[:2] == (0, '127.0.0.1')
                    s = hello()
                    s.sendall(b'\\x05\\x01\\x00\\x05\\x01\\x00\\x02')
                    assert exactly(s, 2) == b'\\x05\\x00' and reply(s)[0] == 8
                    s = hello()
                    s.sendall(b'\\x04\\x01\\x1b\\x5a\\x0a\\x4d\\x02\\x02\\x00')
                    assert rest(s) == (b'\\x00\\x5b' + bytes(6), 'EOF')
                    s = hello()
                    s.sendall(b'GET http://server/ HTTP/1.1\\r\\n\\r\\n')
                    assert head(s) == 405
                    """)
                #expect(agent.terminate() == .exited(0))
                #expect(!peers.standardOutput.contains("Traceback"))
                #expect(try test.client.succeed(["ls", "/run/usl"]) == "")
            }
        }

        /// Rules, firewalls, routes and silence have answers of their own.
        @Test func exactAnswers() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let rules = """
                    [[rule]]
                    program = "socks"
                    port = 7003
                    treatment = "refuse"
                    [[rule]]
                    port = 7005
                    gateway = "10.77.2.2"
                    [[rule]]
                    treatment = "direct"
                    """
                try test.client.succeed(["/bin/sh", "-c", "cat > /run/usl.toml"], input: .bytes(Array(rules.utf8)))
                _ = try test.startGateway(allow: "*:1-7001")
                let agent = try start(test, ["--policy", "/run/usl.toml", "-v"])
                try test.client.succeed([
                    "/bin/sh", "-c",
                    """
                    set -e
                    ip route add unreachable 192.0.2.1
                    ip route add prohibit 192.0.2.2
                    sysctl -qw net.ipv4.tcp_syn_retries=1
                    """,
                ])
                try test.server.block(incoming: 7004)
                try check(
                    test,
                    """
                    # Who does not say what it wants in time is reset.
                    silent, slow = hello(), hello()
                    slow.sendall(b'CONNECT 10.77.2.2:70')
                    def answers(host, port):
                        code = reply(ask(host, port))[0]
                        s, status = tunnel(host, port)
                        rest(s)
                        return code, status
                    for host, port, expected in (
                        ('10.77.2.2', 7003, (2, 403)), ('10.77.2.2', 7005, (2, 403)), ('192.0.2.1', 80, (4, 502)),
                        ('192.0.2.2', 80, (2, 403)), ('198.51.100.1', 80, (3, 502)), ('10.77.2.2', 7004, (4, 504)),
                        ('10.77.2.2', 7099, (5, 502))):
                        assert (found := answers(host, port)) == expected, (host, port, found)
                    assert rest(silent) == rest(slow) == (b'', 'ECONNRESET')
                    """)
                let said = agent.standardError
                #expect(said.contains("socks to 10.77.2.2:7003: refuse, by /run/usl.toml:1"), "\(said)")
                #expect(said.contains("the nearest rule is --allow *:1-7001"), "\(said)")
            }
        }

        /// Programs as people use them.
        @Test func realPrograms() throws {
            try UnderTest.withoutGateway { test in
                try test.server.succeed(["/bin/sh", "-c", "mkdir /run/www && echo content > /run/www/file"])
                _ = try test.serve(
                    ["/usr/bin/python3", "-m", "http.server", "--bind", "::", "8000"], port: 8000, directory: "/run/www"
                )
                _ = try test.startGateway()
                let users = "me:secret\n"
                try test.client.succeed(
                    ["/bin/sh", "-c", "umask 077; cat > /run/users"], input: .bytes(Array(users.utf8)))
                let agent = try start(
                    test, ["--gateway", "10.77.2.2", "--socks-users", "/run/users"], listen: "0.0.0.0:1080")
                func curl(_ options: [String], _ url: String = "http://server:8000/file") throws -> Host.Outcome {
                    try test.client.run(["curl", "-sS", "--max-time", "20"] + options + [url])
                }
                for options in [
                    ["--socks5", "me:secret@localhost:1080"], ["--socks5-hostname", "me:secret@localhost:1080"],
                    ["-p", "-x", "http://me:secret@localhost:1080"], ["-p", "-x", "localhost:1080", "-U", "me:secret"],
                ] {
                    let outcome = try curl(options)
                    #expect(
                        outcome.status == .success && outcome.output == "content\n", "\(options): \(outcome.errors)")
                }
                for options in [["--socks5", "localhost:1080"], ["--socks5", "me:wrong@localhost:1080"]] {
                    #expect(try curl(options).status == .exited(97), "\(options)")
                }
                for options in [["localhost:1080"], ["localhost:1080", "-U", "me:wrong"]] {
                    let outcome = try curl(["-p", "-x"] + options)
                    #expect(outcome.status == .exited(56) && outcome.errors.contains("407"), "\(outcome.errors)")
                }
                #expect(
                    try curl(["--socks5-hostname", "me:secret@localhost:1080"], "http://server:8001/").status
                        == .exited(97))
                #expect(agent.standardError == "", "\(agent.standardError)")
            }
        }

        /// Names that only the gateway knows, over plain links and over TLS.
        @Test(arguments: [true, false]) func namesOfTheGateway(isPlain: Bool) throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                try test.server.succeed([
                    "/bin/sh", "-c",
                    """
                    set -e
                    (cat /etc/hosts; echo '10.77.2.2 inside.test'; echo '192.0.2.1 forbidden.test') > /run/hosts
                    mount --bind /run/hosts /etc/hosts
                    """,
                ])
                let gateway = try test.server.start(
                    [try UnderTest.usl(), "gateway", "--allow", "10.77.2.0/24:7001-7099", "--state", "/run/state"]
                        + (isPlain ? ["--plain"] : []))
                try test.server.waitForListener(port: UnderTest.gatewayPort)
                let agent = try start(
                    test, ["-v", "--gateway", "10.77.2.2", "--resolve", "gateway"], isPlain: isPlain)
                try check(
                    test,
                    """
                    for make in socks, lambda *where: tunnel(*where)[0]:
                        s = make('inside.test', 7002)
                        assert exactly(s, 10) == b'220 ready\\n'
                        pingpong(s, 5)
                    assert (code := reply(ask('forbidden.test', 7002))[0]) == 2, code
                    assert (code := reply(ask('inside.test', 80))[0]) == 2, code
                    assert tunnel('inside.test', 80)[1] == 403
                    assert (code := reply(ask('nobody.invalid', 7002))[0]) == 4, code
                    assert (code := reply(ask('inside.test', 7099))[0]) == 5, code
                    """)
                let said = agent.standardError
                #expect(said.split(separator: "\n").count { $0.contains("inside.test is 10.77.2.2") } == 2, "\(said)")
                #expect(gateway.ended == nil)
            }
        }

        /// A verified conversation with the clients of both dialects, while links are reset and the agent is killed again and again.
        @Test func killedAgents() throws {
            try UnderTest.with(.attacked) { test in
                _ = try test.servePeers()
                let agent = try start(test, ["-q", "--gateway", "10.77.2.2"])
                let script = """
                    ends = [socks('10.77.2.2', 7002), socks('server', 7002), tunnel('server', 7002)[0]]
                    for s in ends: exactly(s, 10)
                    say('talking')
                    rounds = 0
                    while not os.path.exists('/run/stop'):
                        for s in ends: pingpong(s, 5)
                        rounds += 5
                    # The port is there all the time.
                    pingpong_after = socks('10.77.2.2', 7007)
                    pingpong(pingpong_after, 5)
                    say(rounds, 'verified')
                    """
                let client = try test.client.start(Self.client(script))
                try client.waitForOutput("talking")
                let status = try test.client.succeed([try UnderTest.usl(), "status"])
                #expect(status.split(separator: "\n").count { $0.contains(" socks ") } == 3, "\(status)")
                for _ in 0..<6 {
                    try test.client.killProcesses(called: "usl", exceptFirst: true)
                    usleep(UInt32.random(in: 200_000..<700_000))
                }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(30))
                let ended = try client.wait(.seconds(10))
                #expect(ended == .success, "\(client.standardError)")
                #expect(agent.ended == nil && agent.standardError == "", "\(agent.standardError)")
            }
        }

        /// A client that waits for its answer while its agent is killed has it from the next one, once.
        @Test func killedWhileOpening() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                let agent = try start(test, ["-q", "--gateway", "10.77.2.2"])
                for _ in 0..<5 {
                    try test.server.block(incoming: UnderTest.gatewayPort)
                    let script = """
                        ends = [ask('10.77.2.2', 7002), ask('10.77.2.2', 7099)]
                        tunnels = [hello(), hello()]
                        for s, port in zip(tunnels, (7002, 7099)):
                            s.sendall(f'CONNECT 10.77.2.2:{port} HTTP/1.1\\r\\n\\r\\nearly'.encode())
                        say('waiting')
                        assert reply(ends[0])[:2] == (0, '10.77.1.2') and reply(ends[1])[0] == 5
                        assert head(tunnels[0]) == 200 and head(tunnels[1]) == 502
                        assert exactly(ends[0], 10) == b'220 ready\\n'
                        assert exactly(tunnels[0], 15) == b'220 ready\\nearly'
                        pingpong(ends[0], 5)
                        pingpong(tunnels[0], 5)
                        say('verified')
                        """
                    let client = try test.client.start(Self.client(script))
                    try client.waitForOutput("waiting")
                    // Its sessions are in the ledger.
                    try test.client.expectSessions("len(sessions) == 4")
                    try test.client.killProcesses(called: "usl", exceptFirst: true)
                    try test.server.unblock()
                    // Killed again at whatever moment of opening, granting and bringing.
                    usleep(UInt32.random(in: 0..<250_000))
                    try? test.client.killProcesses(called: "usl", exceptFirst: true)
                    try client.waitForOutput("verified", within: .seconds(20))
                    let status = try client.wait(.seconds(10))
                    #expect(status == .success, "\(client.standardError)")
                }
                #expect(agent.ended == nil)
            }
        }

        /// Renewed, as it was and with other options.
        @Test func replaced() throws {
            try UnderTest.withoutGateway { test in
                let usl = try UnderTest.usl()
                _ = try test.servePeers()
                _ = try test.startGateway()
                let agent = try start(test, ["--gateway", "10.77.2.2"])
                let client = try test.client.start(
                    Self.client(Peers.conversation.replacing("connect(7002)", with: "socks('10.77.2.2', 7002)")))
                try client.waitForOutput("talking")
                let process = String(
                    try test.client.succeed(["/bin/sh", "-c", "ls /run/usl | tr -dc '0-9\\n'"]).prefix { $0 != "\n" })
                let same = try test.client.succeed([usl, "agent", "--replace", process])
                #expect(same.contains("with 1 session\n"), "\(same)")
                let other = try test.client.succeed([
                    usl, "agent", "--replace", process, "--socks", "localhost:1081", "--plain", "--gateway",
                    "10.77.2.2",
                ])
                #expect(other.contains("with 1 session\n"), "\(other)")
                try test.client.waitForListener(port: 1081)
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(20))
                _ = agent
            }
        }

        /// What is wrong is said before anything listens.
        @Test func mistakes() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let usl = try UnderTest.usl()
                try lab["client"].succeed([
                    "/bin/sh", "-c",
                    "echo me:secret > /run/open; chmod 644 /run/open; echo me > /run/bad; chmod 600 /run/bad",
                ])
                for (options, words) in [
                    (["--socks", "0.0.0.0:1080"], "--socks-users FILE"),
                    (["--socks", "[::]:1080"], "--socks-users FILE"),
                    (["--socks", "localhost:1080", "--socks-users", "/run/open"], "chmod 600 /run/open"),
                    (["--socks", "localhost:1080", "--socks-users", "/run/bad"], "line 1: is not USER:PASSWORD"),
                    (["--socks", "localhost:1080", "--socks-users", "/run/none"], "cannot read /run/none"),
                    (["--socks", "localhost"], "is no HOST:PORT"), ([], "--socks HOST:PORT"),
                    (["--replace", "1", "--anyone"], "belong to --socks"),
                    (["--replace", "1", "--gateway", "edge"], "belong to --socks"),
                    (["--socks", "localhost:1080", "--resolve", "gateway"], "needs --gateway"),
                ] {
                    let outcome = try lab["client"].run([usl, "agent"] + options)
                    #expect(
                        outcome.status == .exited(125) && outcome.errors.contains(words),
                        "\(options): \(outcome.errors)")
                }
            }
        }
    }
}

extension String {
    fileprivate func replacing(_ old: String, with new: String) -> String {
        split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
    }
}
