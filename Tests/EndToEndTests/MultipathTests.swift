import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// `--transport mptcp`: the application's own socket is one of Multipath TCP.
    @Suite struct MultipathTests {
        /// A server that says of each connection whether it is of several paths, and sends back what it gets. 284 and 1 are
        /// `SOL_MPTCP` and `MPTCP_INFO`: a connection that has fallen back to TCP has none.
        private static let server = """
            def kind(s):
                try: s.getsockopt(284, 1, 64)
                except OSError: return 'tcp'
                return 'mptcp'
            def run(s):
                say(kind(s))
                s.sendall(b'220 ready\\n')
                while data := s.recv(65536):
                    s.sendall(data)
                    if data.endswith(b'\\r\\n\\r\\n'): break
                s.close()
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, int(sys.argv[1]))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(('10.77.2.2', 7002))
            listener.listen()
            say('serving')
            while True: threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()
            """

        private func withServer(
            multipath: Bool, _ body: (UnderTest, LabProcess) throws -> Void
        ) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(
                    Peers.client(Self.server, ["\(multipath ? IPPROTO_MPTCP : IPPROTO_TCP)"]))
                try server.waitForOutput("serving")
                try body(test, server)
            }
        }

        private func usl(_ options: [String] = ["--treatment", "shim"]) throws -> [String] {
            [try UnderTest.usl(), "--transport", "mptcp"] + options + ["--"]
        }

        /// What the server has seen of further connections.
        private func seen(_ server: LabProcess, _ number: Int) throws -> [String] {
            var lines: [String] = []
            try waitUntil("\(number) connections", within: .seconds(5)) {
                lines = server.standardOutput.split(separator: "\n").dropFirst().map(String.init)
                return lines.count == number
            }
            return lines
        }

        private static let talk = """
            exactly(s, 10)
            pingpong(s, 20)
            s.shutdown(socket.SHUT_WR)
            assert rest(s) == (b'', 'EOF')
            """

        /// Python, blocking or not, ncat and curl: with a peer that has it, and with one that has not.
        @Test(arguments: [true, false])
        func connectionsToOrdinaryPeers(multipath: Bool) throws {
            try withServer(multipath: multipath) { test, server in
                for treatment in ["shim", "direct"] {
                    let outcome = try test.client.run(
                        usl(["--treatment", treatment])
                            + Peers.client(
                                """
                                s = connect(7002, '10.77.2.2')
                                assert s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == \(IPPROTO_MPTCP)

                                """ + Self.talk))
                    #expect(outcome.status == .success, "\(outcome.errors)")
                }
                let outcome = try test.client.run(
                    usl()
                        + Peers.client(
                            """
                            s = socket.socket()
                            s.setblocking(False)
                            poll = select.epoll()
                            poll.register(s, select.EPOLLOUT | select.EPOLLET)
                            poll.poll(0)
                            assert s.connect_ex(('10.77.2.2', 7002)) == errno.EINPROGRESS
                            assert poll.poll(10) == [(s.fileno(), select.EPOLLOUT)]
                            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                            s.setblocking(True)

                            """ + Self.talk))
                #expect(outcome.status == .success, "\(outcome.errors)")
                let ncat = try test.client.succeed(
                    usl() + ["ncat", "10.77.2.2", "7002"], input: .bytes(Array("hello\n".utf8)))
                #expect(ncat == "220 ready\nhello\n")
                let curl = try test.client.succeed(usl() + ["curl", "-sS", "--http0.9", "http://10.77.2.2:7002/"])
                #expect(curl.hasPrefix("220 ready\nGET "))
                let kinds = try seen(server, 5)
                #expect(Set(kinds) == [multipath ? "mptcp" : "tcp"], "\(kinds)")
            }
        }

        /// Without the word nothing is different; where the kernel has none, neither.
        @Test func onlyWhereItIsAskedForAndThere() throws {
            try withServer(multipath: true) { test, server in
                let ask = Peers.client(
                    "s = connect(7002, '10.77.2.2')\nexactly(s, 10)\nsay(s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL))"
                )
                let plain = try test.client.succeed(
                    [try UnderTest.usl(), "--treatment", "shim", "--"] + ask, environment: ["USL_TRANSPORT": "mptcp"])
                #expect(plain == "\(IPPROTO_TCP)\n")
                try test.client.succeed(["sysctl", "-qw", "net.mptcp.enabled=0"])
                let without = try test.client.run(usl(["-v"]) + ask)
                #expect(without.output == "\(IPPROTO_TCP)\n")
                #expect(without.errors.contains("no multipath TCP"), "\(without.errors)")
                #expect(try seen(server, 2) == ["tcp", "tcp"])
            }
        }

        /// Its sessions are as any: blocking or not, with a port that the program has chosen and lets others have, closed at
        /// once, refused, and with the names that it asked for.
        @Test func sessions() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let outcome = try test.client.run(
                    test.prefix(["--transport", "mptcp", "-v"])
                        + Peers.client(
                            """
                            def conversation(s):
                                assert s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == \(IPPROTO_MPTCP)
                                exactly(s, 10)
                                pingpong(s, 20)
                                assert s.getpeername() == ('10.77.2.2', 7002), s.getpeername()
                                assert s.getsockname()[0] == '10.77.1.2', s.getsockname()
                                s.shutdown(socket.SHUT_WR)
                                assert rest(s) == (b'', 'EOF')
                                s.close()
                            for options, source in (
                                ((), None), ((socket.SO_REUSEADDR,), None), ((), ('', 4711)), ((), ('10.77.1.2', 0)),
                                ((socket.SO_REUSEADDR,), ('', 4712)), ((socket.SO_REUSEADDR,), ('10.77.1.2', 4713))):
                                s = socket.socket()
                                for option in options: s.setsockopt(socket.SOL_SOCKET, option, 1)
                                if source: s.bind(source)
                                s.connect(('10.77.2.2', 7002))
                                assert not source or source[1] in (0, s.getsockname()[1]), s.getsockname()
                                conversation(s)
                            s = socket.socket()
                            s.setblocking(False)
                            poll = select.epoll()
                            poll.register(s, select.EPOLLOUT)
                            assert s.connect_ex(('10.77.2.2', 7002)) == errno.EINPROGRESS
                            assert poll.poll(10) == [(s.fileno(), select.EPOLLOUT)]
                            s.setblocking(True)
                            conversation(s)
                            # The server's reset, and everything before it.
                            s = connect(7005)
                            s.sendall(b'?')
                            assert rest(s) == (b'bytes before', 'ECONNRESET'), 'no reset'
                            # Closed at once.
                            s = connect(7006)
                            s.sendall(MEBIBYTE)
                            s.close()
                            try: connect(1)
                            except ConnectionRefusedError: pass
                            else: raise SystemExit('not refused')
                            # Again with the socket that was refused.
                            s = socket.socket()
                            assert s.connect_ex(('10.77.2.2', 1)) == errno.ECONNREFUSED
                            s.connect(('10.77.2.2', 7002))
                            conversation(s)
                            """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                #expect(outcome.errors.occurrences(of: ": session ") == 10, "\(outcome.errors)")
                try server.waitForOutput("7006 1048576")
            }
        }

        /// The first address of the server is dead.
        @Test(arguments: [true, false])
        func anotherPath(blocks: Bool) throws {
            try withServer(multipath: true) { test, server in
                try test.server.succeed(["ip", "address", "add", "10.77.2.9/24", "dev", "eth0"])
                try test.client.succeed([
                    "/bin/sh", "-c", "printf '10.77.2.9 many\\n10.77.2.2 many\\n' >> /run/hosts",
                ])
                for fault in ["drop", "reject with tcp reset"] {
                    try test.lab.router.loadRules(
                        """
                        flush ruleset
                        table ip faults {
                            chain pass {
                                type filter hook forward priority 0;
                                ip daddr 10.77.2.9 tcp dport 7002 \(fault)
                            }
                        }
                        """)
                    let outcome = try test.client.run(
                        usl(["--treatment", "shim", "-v"])
                            + Peers.client(
                                """
                                socket.getaddrinfo('many', 7002, socket.AF_INET, socket.SOCK_STREAM)
                                s = socket.socket()
                                s.setblocking(\(blocks ? "True" : "False"))
                                poll = select.epoll()
                                poll.register(s, select.EPOLLOUT | select.EPOLLET)
                                poll.poll(0)
                                code = s.connect_ex(('10.77.2.9', 7002))
                                assert code in (0, errno.EINPROGRESS), errno.errorcode[code]
                                assert poll.poll(10) == [(s.fileno(), select.EPOLLOUT)]
                                assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                                s.setblocking(True)

                                """ + Self.talk))
                    #expect(outcome.status == .success, "\(fault): \(outcome.errors)")
                    #expect(outcome.errors.contains("connected to 10.77.2.2:7002"), "\(outcome.errors)")
                }
                #expect(try seen(server, 4).contains("mptcp"))
            }
        }

        /// A program that listens takes connections of both kinds.
        @Test func servers() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(
                    usl() + Peers.client(Self.server, ["\(IPPROTO_TCP)"]))
                try server.waitForOutput("serving")
                for number in [IPPROTO_TCP, IPPROTO_MPTCP] {
                    let outcome = try test.client.run(
                        Peers.client(
                            """
                            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, \(number))
                            s.connect(('10.77.2.2', 7002))

                            """ + Self.talk))
                    #expect(outcome.status == .success, "\(outcome.errors)")
                }
                #expect(try seen(server, 2) == ["tcp", "mptcp"])
            }
        }
    }
}

extension String {
    fileprivate func occurrences(of text: String) -> Int { ranges(of: text).count }
}
