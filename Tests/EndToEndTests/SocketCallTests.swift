import NetworkLab
import Testing

extension EndToEnd {
    /// What programs do with sockets beside connect(2): the same bare, through a gateway, and to an ordinary peer.
    @Suite struct SocketCallTests {
        enum Way: CaseIterable {
            case bare
            case session
            case shim
            case shimMultipath
            case sessionMultipath
        }

        struct Call: CustomTestStringConvertible, Sendable {
            let name: String
            let script: String
            /// Whether all its connections are refused.
            var isRefused = false
            var testDescription: String { name }

            /// What `usl -v` says of a connection of it.
            func mark(_ way: Way) -> String {
                switch way {
                case .bare: ""
                case .session, .sessionMultipath: isRefused ? ": Connection refused" : ": session "
                case .shim, .shimMultipath: isRefused ? ": Connection refused" : ""
                }
            }
        }

        private static let prelude = """
            import array, ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            SERVER, ECHO, BANNER, READS = '10.77.2.2', ('10.77.2.2', 7007), ('10.77.2.2', 7002), ('10.77.2.2', 7006)
            MSG_FASTOPEN, TCP_FASTOPEN_CONNECT = 0x20000000, 30
            def attempt(call, *words):
                try: return call(*words)
                except OSError as error: return name(error)
            def dissolve(s):
                address = ctypes.create_string_buffer(16)  # AF_UNSPEC is 0
                return libc.connect(s.fileno(), address, 16) and errno.errorcode[ctypes.get_errno()]
            def talk(s, peer=ECHO):
                s.setblocking(True)
                if peer == BANNER: exactly(s, 10)
                pingpong(s, 5)
                assert s.getpeername() == peer, s.getpeername()
            def writable(s):
                poll = select.epoll()
                poll.register(s, select.EPOLLOUT)
                assert poll.poll(10), 'not writable'
                return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

            """

        static let calls = [
            Call(
                name: "sendto with MSG_FASTOPEN",
                script: """
                    for round in range(2):
                        s = socket.socket()
                        say(attempt(s.sendto, b'hello', MSG_FASTOPEN, ECHO), exactly(s, 5))
                        # Multipath TCP has another error for it.
                        say(attempt(s.sendto, b'again', MSG_FASTOPEN, ECHO) in ('EISCONN', 'EINVAL'))
                        talk(s)
                        s = socket.socket()
                        say(attempt(s.sendto, MEBIBYTE, MSG_FASTOPEN, READS))
                        exactly(s, 1)
                    s = socket.socket()
                    say(attempt(s.sendto, b'', MSG_FASTOPEN, ECHO))
                    talk(s)
                    """),
            Call(
                name: "sendmsg and sendmmsg with MSG_FASTOPEN",
                script: """
                    s = socket.socket()
                    say(attempt(s.sendmsg, [b'hel', b'lo'], [], MSG_FASTOPEN, ECHO), exactly(s, 5))
                    talk(s)
                    """),
            Call(
                name: "MSG_FASTOPEN without waiting",
                script: """
                    for flags, blocks in ((MSG_FASTOPEN, False), (MSG_FASTOPEN | socket.MSG_DONTWAIT, True)):
                        s = socket.socket()
                        s.setblocking(blocks)
                        say(attempt(s.sendto, b'hello', flags, ECHO), s.getblocking())
                        say(writable(s))
                        s.sendall(b'hello')
                        s.setblocking(True)
                        say(exactly(s, 5))
                        talk(s)
                    """),
            Call(
                name: "MSG_FASTOPEN to nobody",
                script: """
                    s = socket.socket()
                    say(attempt(s.sendto, b'hello', MSG_FASTOPEN, (SERVER, 1)))
                    s = socket.socket()
                    say(attempt(s.sendmsg, [b'hello'], [], MSG_FASTOPEN, (SERVER, 1)))
                    """, isRefused: true),
            Call(
                name: "TCP_FASTOPEN_CONNECT",
                script: """
                    for round in range(2):
                        s = socket.socket()
                        s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
                        say(attempt(s.connect, ECHO))
                        talk(s)
                    s = socket.socket()
                    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
                    s.setblocking(False)
                    assert s.connect_ex(ECHO) in (0, errno.EINPROGRESS)
                    say(writable(s))
                    talk(s)
                    """),
            Call(
                name: "AF_UNSPEC on a connected socket",
                script: """
                    s = socket.socket()
                    for peer in (ECHO, BANNER, BANNER, ECHO):
                        say(attempt(s.connect, peer))
                        talk(s, peer)
                        say(dissolve(s), attempt(s.getpeername))
                    say(dissolve(s))
                    s.bind(('', 4711))
                    for peer in (ECHO, BANNER):
                        say(attempt(s.connect, peer), s.getsockname())
                        talk(s, peer)
                        say(dissolve(s))
                    """),
            Call(
                name: "AF_UNSPEC on a connecting socket",
                script: """
                    s = socket.socket()
                    s.setblocking(False)
                    for peer in (ECHO, BANNER):
                        say(attempt(s.connect, ('10.77.2.77', 7007)))
                        say(dissolve(s))
                        say(attempt(s.connect, peer), writable(s))
                        talk(s, peer)
                        s.setblocking(False)
                        say(dissolve(s))
                    """),
            Call(
                name: "a socket that was refused",
                script: """
                    s = socket.socket()
                    say(attempt(s.connect, (SERVER, 1)))
                    say(attempt(s.connect, ECHO))
                    talk(s)
                    """),
            Call(
                name: "copies of descriptors",
                script: """
                    s = socket.socket()
                    copy = s.dup()
                    say(attempt(copy.connect, ECHO))
                    copy.close()
                    talk(s)
                    s = socket.socket()
                    copy = socket.socket(fileno=fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100))
                    s.setblocking(False)
                    say(attempt(s.connect, ECHO))
                    s.close()
                    say(writable(copy))
                    talk(copy)
                    # Another socket in the place of one that is connecting.
                    s, other = socket.socket(), socket.socket()
                    s.setblocking(False)
                    say(attempt(s.connect, ECHO))
                    os.dup2(other.fileno(), s.fileno())
                    other.close()
                    say(attempt(s.connect, BANNER))
                    talk(s, BANNER)
                    # The end of a stream comes with the last copy.
                    s = socket.create_connection(READS)
                    exactly(s, 1)
                    copy = s.dup()
                    s.close()
                    copy.sendall(b'the end')
                    copy.close()
                    """),
            Call(
                name: "inherited sockets",
                script: """
                    s = socket.socket()
                    if not (child := os.fork()):
                        say(attempt(s.connect, ECHO))
                        os._exit(0)
                    os.waitpid(child, 0)
                    talk(s)
                    s = socket.socket()
                    code = 'import socket, sys; socket.socket(fileno=int(sys.argv[1])).connect((sys.argv[2], 7007))'
                    subprocess.run([sys.executable, '-c', code, str(s.fileno()), SERVER], pass_fds=[s.fileno()], check=True)
                    talk(s)
                    """),
            Call(
                name: "a socket from a program outside",
                script: """
                    door = socket.socket(socket.AF_UNIX)
                    door.connect('/run/door')
                    for peer in (ECHO, BANNER):
                        _, numbers, _, _ = socket.recv_fds(door, 1, 1)
                        s = socket.socket(fileno=numbers[0])
                        say(attempt(s.connect, peer))
                        talk(s, peer)
                    """),
        ]

        /// Gives its sockets away.
        private static let outsider = """
            door = socket.socket(socket.AF_UNIX)
            door.bind('/run/door')
            door.listen()
            say('open')
            while True:
                guest = door.accept()[0]
                for _ in range(2):
                    s = socket.socket()
                    socket.send_fds(guest, [b'!'], [s.fileno()])
            """

        @Test func theSameInEachWay() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let outsider = try test.client.start(Peers.client(Self.outsider))
                try outsider.waitForOutput("open")
                try test.lab.router.loadRules(
                    """
                    table ip faults {
                        chain pass {
                            type filter hook prerouting priority raw;
                            ip daddr 10.77.2.77 drop
                        }
                    }
                    """)
                for call in Self.calls {
                    var expected: String?
                    for way in Way.allCases {
                        let outcome = try test.client.run(
                            prefix(way, test) + Peers.client(Self.prelude + call.script))
                        #expect(outcome.status == .success, "\(call.name), \(way): \(outcome.errors)")
                        #expect(
                            outcome.output == expected ?? outcome.output, "\(call.name), \(way): \(outcome.errors)")
                        expected = expected ?? outcome.output
                        // Nothing goes past USL.
                        #expect(
                            outcome.errors.contains(call.mark(way)) || way == .bare,
                            "\(call.name), \(way): \(outcome.errors)")
                    }
                }
                server.terminate()
            }
        }

        private func prefix(_ way: Way, _ test: UnderTest) throws -> [String] {
            let usl = try UnderTest.usl()
            return switch way {
            case .bare: []
            case .session: try test.prefix(["-v"])
            case .sessionMultipath: try test.prefix(["-v", "--transport", "mptcp"])
            case .shim: [usl, "-v", "--treatment", "shim", "--"]
            case .shimMultipath: [usl, "-v", "--transport", "mptcp", "--treatment", "shim", "--"]
            }
        }

        /// A SYN that leaves with the first write alone, and has no cookie to ask for (`net.ipv4.tcp_fastopen`, 4): the leg
        /// comes at once nevertheless, and is not missed.
        @Test func theLegDoesNotWaitForTheFirstWrite() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                try test.client.succeed(["sysctl", "-qw", "net.ipv4.tcp_fastopen=5"])
                let outcome = try test.client.run(
                    test.prefix([])
                        + Peers.client(
                            Self.prelude + """
                                s = socket.socket()
                                s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
                                s.settimeout(10)
                                s.connect(BANNER)
                                talk(s, BANNER)
                                """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                server.terminate()
            }
        }

        /// One that waits for its verdict is taken back, and connected elsewhere, and to the same place again.
        @Test(arguments: [7007, 7002])
        func aHeldSocketIsTakenBack(port: Int) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                try test.server.block(incoming: UnderTest.gatewayPort)
                let client = try test.client.start(
                    test.prefix(["-v"])
                        + Peers.client(
                            Self.prelude + """
                                s = socket.socket()
                                s.setblocking(False)
                                say(attempt(s.connect, ECHO))
                                say(dissolve(s))
                                peer = (SERVER, \(port))
                                say(attempt(s.connect, peer))
                                say('waiting')
                                say(writable(s))
                                talk(s, peer)
                                # As long as the first one waits for its application.
                                end = time.monotonic() + 12
                                while time.monotonic() < end: pingpong(s, 1)
                                assert s.getpeername() == peer, s.getpeername()
                                say('verified')
                                """))
                try client.waitForOutput("waiting")
                try test.server.unblock()
                try client.waitForOutput("verified", within: .seconds(30))
                #expect(
                    client.standardOutput.hasPrefix("EINPROGRESS\n0\nEINPROGRESS\nwaiting\n0\n"),
                    "\(client.standardError)")
                server.terminate()
            }
        }

        /// The server sees the end of the connection that was dissolved.
        @Test func theServerSeesAReset() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let outcome = try test.client.run(
                    test.prefix([])
                        + Peers.client(
                            Self.prelude + """
                                s = socket.socket()
                                s.connect(READS)
                                exactly(s, 1)
                                assert dissolve(s) == 0
                                s.connect(ECHO)
                                talk(s)
                                """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                try server.waitForOutput("ECONNRESET")
            }
        }
    }
}
