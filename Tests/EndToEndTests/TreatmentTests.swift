import NetworkLab
import Testing

extension EndToEnd {
    /// What becomes of a connection: a session, an ordinary connection, or an error, and what the application sees of it.
    @Suite struct TreatmentTests {
        /// Without a named gateway: each destination is asked for one.
        private func withoutNamedGateway(_ body: (UnderTest, LabProcess) throws -> Void) throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.server.start(Peers.server)
                try peers.waitForOutput("serving")
                try body(test, peers)
            }
        }

        private func detecting(_ options: [String] = []) throws -> [String] { try [UnderTest.usl()] + options + ["--"] }

        /// Two connects and a conversation; prints how long the connects took, in milliseconds.
        private static let twice = """
            def connected():
                begin = time.monotonic()
                s = connect(7002, sys.argv[1])
                assert s.getpeername()[:2] == (sys.argv[1], 7002), s.getpeername()
                assert exactly(s, 10) == b'220 ready\\n'
                pingpong(s, 10)
                return int(1000 * (time.monotonic() - begin))
            print(connected(), connected())
            """

        private func times(_ output: String) -> [Int] { output.split { $0.isWhitespace }.compactMap { Int($0) } }

        /// Nobody listens at a gateway's port: the connection is an ordinary one, and the port is tried once.
        @Test func nobodyIsAtTheGatewaysPort() throws {
            try withoutNamedGateway { test, _ in
                try test.server.countOpenings(port: UnderTest.gatewayPort)
                for address in [test.server.address, test.server.address6] {
                    let outcome = try test.client.run(try detecting() + Peers.client(Self.twice, [address]))
                    #expect(outcome.status == .success && outcome.errors == "", "\(outcome.errors)")
                    #expect(times(outcome.output).allSatisfy { $0 < 200 }, "\(outcome.output)")
                }
                #expect(try test.server.countedOpenings() == 2)
            }
        }

        /// A firewall that swallows what it does not know costs 300 ms, once.
        @Test func theGatewaysPortIsSilent() throws {
            try withoutNamedGateway { test, _ in
                try test.server.block(incoming: UnderTest.gatewayPort)
                let outcome = try test.client.run(try detecting() + Peers.client(Self.twice, [test.server.address]))
                #expect(outcome.status == .success && outcome.errors == "", "\(outcome.errors)")
                let (first, second) = (times(outcome.output)[0], times(outcome.output)[1])
                #expect(first >= 300 && first < 600 && second < 150, "\(outcome.output)")
            }
        }

        /// What listens there and is no gateway is named, and the connection is an ordinary one.
        @Test(arguments: ["HTTP/1.0 400 Bad Request\\r\\n\\r\\n", "USL?", "USL/1\\r\\nX", "\\0", ""])
        func aStrangerIsAtTheGatewaysPort(says text: String) throws {
            try withoutNamedGateway { test, _ in
                let stranger = try test.server.start(
                    Peers.client(
                        """
                        listener = socket.create_server(('', 7117))
                        kept = []
                        while True:
                            kept.append(listener.accept()[0])
                            kept[-1].sendall(b'\(text)')
                        """))
                try test.server.waitForListener(port: UnderTest.gatewayPort)
                let outcome = try test.client.run(try detecting() + Peers.client(Self.twice, [test.server.address]))
                #expect(outcome.status == .success, "\(outcome.errors)")
                #expect(
                    outcome.errors
                        == "usl: \(test.server.address):7117 is no USL gateway, though something listens there; connected directly\n"
                )
                stranger.terminate()
            }
        }

        /// A gateway at the destination is found; one that does not want the same links is named, and not used.
        @Test func aGatewayIsAtTheDestination() throws {
            try withoutNamedGateway { test, _ in
                _ = try test.startGateway()
                for address in [test.server.address, test.server.address6] {
                    let command = Peers.client(Self.twice, [address])
                    let found = try test.client.run(try detecting(["--plain", "-v"]) + command)
                    #expect(found.status == .success, "\(found.errors)")
                    #expect(
                        found.errors.split(separator: "\n").count { $0.contains(": session ") } == 2, "\(found.errors)")

                    let unused = try test.client.run(try detecting() + command)
                    #expect(unused.status == .success, "\(unused.errors)")
                    #expect(
                        unused.errors.split(separator: "\n").count == 1 && unused.errors.contains("--plain"),
                        "\(unused.errors)")
                }
            }
        }

        /// Errors are those of plain TCP, whoever asks and however.
        @Test func errorsAreExact() throws {
            let script = """
                def outcome(family, address, blocking):
                    s = socket.socket(family)
                    if blocking:
                        return name(OSError(s.connect_ex(address), ''))
                    s.setblocking(False)
                    poll = select.epoll()
                    poll.register(s, select.EPOLLOUT | select.EPOLLET)
                    poll.poll(0.01)  # a socket that was never connected polls as hung up
                    code = s.connect_ex(address)
                    if code != errno.EINPROGRESS: return name(OSError(code, ''))
                    eventually(lambda: poll.poll(0.1))
                    return 'later ' + name(OSError(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), ''))
                for family, address in (
                    (socket.AF_INET, ('10.77.2.2', 1)), (socket.AF_INET6, ('fd77:2::2', 1)),
                    (socket.AF_INET6, ('::ffff:10.77.2.2', 1)), (socket.AF_INET, ('10.99.0.1', 80)),
                    (socket.AF_INET6, ('fd99::1', 80))):
                    print(address, *(outcome(family, address, blocking).removeprefix('later ') for blocking in (True, False)), flush=True)
                """
            func outcomes(_ prefix: [String], _ test: UnderTest) throws -> String {
                try test.client.succeed(prefix + Peers.client(script))
            }
            try UnderTest.withoutGateway { test in
                for host in [test.client, test.server] {
                    try host.succeed(["ip", "route", "add", "unreachable", "10.99.0.0/16"])
                    try host.succeed(["ip", "route", "add", "unreachable", "fd99::/16"])
                }
                let bare = try outcomes([], test)
                #expect(bare.hasPrefix("('10.77.2.2', 1) ECONNREFUSED ECONNREFUSED\n"), "\(bare)")
                let direct = try outcomes(try detecting(), test)
                #expect(direct == bare)
                _ = try test.startGateway()
                for prefix in [test.prefix, try detecting(["--plain"])] {
                    let found = try outcomes(prefix, test)
                    #expect(found == bare)
                }
            }
        }

        /// The application's own registration with epoll, made before it connects, tells it when it is connected.
        @Test(arguments: [Mode.bare, .usl])
        func epollWaitsForASlowTarget(mode: Mode) throws {
            try UnderTest.with(mode) { test in
                _ = try test.servePeers()
                try test.server.block(incoming: 7002)
                let client = try test.client.start(
                    test.prefix
                        + Peers.client(
                            """
                            s = socket.socket()
                            s.setblocking(False)
                            poll = select.epoll()
                            assert s.connect_ex(('10.77.2.2', 7002)) == errno.EINPROGRESS
                            poll.register(s, select.EPOLLIN | select.EPOLLOUT)
                            assert poll.poll(0.5) == [], 'woken too early'
                            say('waits')
                            eventually(lambda: poll.poll(0.1))
                            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                            assert s.getpeername() == ('10.77.2.2', 7002)
                            s.setblocking(True)
                            exactly(s, 10)
                            pingpong(s, 10)
                            """))
                try client.waitForOutput("waits")
                try test.server.unblock()
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
            }
        }

        /// Names are those of the connection that was asked for, also in a copy, a child, and another program.
        @Test func namesAreThoseOfPlainTCP() throws {
            let script = """
                def names(s): return s.getpeername()[:2], s.getsockname()[0]
                def check(family, address, source):
                    s = socket.socket(family)
                    s.connect(address)
                    expected = (address, source)
                    assert names(s) == expected, (names(s), expected)
                    assert names(s.dup()) == expected
                    if os.fork() == 0: os._exit(0 if names(s) == expected else 1)
                    assert os.wait()[1] == 0
                    os.set_inheritable(s.fileno(), True)
                    code = f'import socket; s = socket.socket(fileno={s.fileno()}); print(s.getpeername()[:2], s.getsockname()[0])'
                    said = subprocess.run([sys.executable, '-c', code], close_fds=False, capture_output=True, text=True).stdout
                    assert said.strip() == f'{address} {source}', said
                if sys.argv[1] == 'client':
                    check(socket.AF_INET, ('10.77.2.2', 7002), '10.77.1.2')
                    check(socket.AF_INET6, ('fd77:2::2', 7002), 'fd77:1::2')
                    check(socket.AF_INET6, ('::ffff:10.77.2.2', 7002), '::ffff:10.77.1.2')
                else:
                    check(socket.AF_INET, ('127.0.0.1', 7002), '127.0.0.1')
                    check(socket.AF_INET, ('127.0.0.9', 7002), '127.0.0.1')
                    check(socket.AF_INET, ('10.77.2.2', 7002), '10.77.2.2')
                    check(socket.AF_INET6, ('::1', 7002), '::1')
                """
            try UnderTest.with(.usl) { test in
                _ = try test.servePeers()
                for host in [test.client, test.server] {
                    for prefix in [[], test.prefix] {
                        let outcome = try host.run(prefix + Peers.client(script, [host.name]))
                        #expect(outcome.status == .success, "\(host.name), \(prefix): \(outcome.errors)")
                    }
                }
            }
        }
    }
}
