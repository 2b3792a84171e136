import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Connections to ordinary peers of which some paths do not work.
    @Suite struct ShimTests {
        /// What is wrong with an address of the server.
        enum Fault: CaseIterable {
            case silent
            case refuses
            case unreachable
        }

        func shim(_ options: [String] = []) throws -> [String] {
            [try UnderTest.usl(), "--treatment", "shim"] + options + ["--"]
        }

        /// A server of several addresses under one name: `10.77.2.2`, which serves, and further ones that end as given and have
        /// a fault. The client's resolver gives the good one last.
        func withManyAddresses(
            bad: [Int], _ fault: Fault, ports: String = "7002", _ body: (UnderTest) throws -> Void
        ) throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.server.start(
                    Peers.client(
                        Peers.tellingServer.replacing("('::', 7002)", with: "('10.77.2.2', 7002)")
                            .replacing(", family=socket.AF_INET6, dualstack_ipv6=True", with: "")))
                try peers.waitForOutput("serving")
                for end in bad {
                    try test.server.succeed(["ip", "address", "add", "10.77.2.\(end)/24", "dev", "eth0"])
                    try test.lab.router.make(fault, at: "10.77.2.\(end)", ports: ports)
                }
                let lines = (bad + [2]).map { "10.77.2.\($0) many" }.joined(separator: "\\n")
                try test.client.succeed(["/bin/sh", "-c", "printf '\(lines)\\n' >> /run/hosts"])
                try body(test)
            }
        }

        /// Resolves a name, and connects to the bad address alone.
        private static let toTheFirst = """
            addresses = [entry[4] for entry in socket.getaddrinfo('many', 7002, socket.AF_INET, socket.SOCK_STREAM)]
            bad = next(address for address in addresses if address[0] != '10.77.2.2')
            begin = time.monotonic()
            s = socket.socket()

            """

        @Test(arguments: Fault.allCases)
        func theFirstAddressIsDead(_ fault: Fault) throws {
            try withManyAddresses(bad: [9], fault) { test in
                let outcome = try test.client.run(
                    shim(["-v"])
                        + Peers.client(
                            Self.toTheFirst + """
                                s.connect(bad)
                                assert time.monotonic() - begin < 1, time.monotonic() - begin
                                # Nobody is between.
                                assert s.getpeername() == ('10.77.2.2', 7002), s.getpeername()
                                exactly(s, 10)
                                pingpong(s, 3)
                                """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                #expect(outcome.errors.contains("; connected to 10.77.2.2:7002\n"), "\(outcome.errors)")
            }
        }

        /// The socket does not block, and a level-triggered and an edge-triggered epoll watch it from the beginning.
        @Test(arguments: [(Fault.silent, 1), (.refuses, 1), (.unreachable, 1), (.silent, 4)])
        func theProgramDoesNotWait(_ fault: Fault, badAddresses: Int) throws {
            try withManyAddresses(bad: Array(11..<11 + badAddresses), fault) { test in
                let outcome = try test.client.run(
                    shim(["-v"])
                        + Peers.client(
                            Self.toTheFirst + """
                                s.setblocking(False)
                                polls = [(select.epoll(), flags) for flags in (0, select.EPOLLET)]
                                for poll, flags in polls: poll.register(s, select.EPOLLOUT | flags)
                                for poll, _ in polls: poll.poll(0)
                                assert s.connect_ex(bad) == errno.EINPROGRESS
                                for poll, _ in polls:
                                    found = poll.poll(10)
                                    assert found == [(s.fileno(), select.EPOLLOUT)], (found, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.getpeername())
                                assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                                assert time.monotonic() - begin < 2, time.monotonic() - begin
                                s.setblocking(True)
                                exactly(s, 10)
                                pingpong(s, 3)
                                s.shutdown(socket.SHUT_WR)
                                assert rest(s) == (b'', 'EOF')
                                """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                #expect(outcome.errors.contains("; connected to 10.77.2.2:7002"), "\(outcome.errors)")
            }
        }

        /// One good address of eight; also for a program that tries one after the other, and for one that races them.
        @Test func oneOfEightWorks() throws {
            try withManyAddresses(bad: Array(11...17), .silent) { test in
                let outcome = try test.client.run(
                    shim()
                        + Peers.client(
                            Self.toTheFirst + """
                                s.connect(bad)
                                exactly(s, 10)
                                assert time.monotonic() - begin < 3, time.monotonic() - begin
                                """))
                #expect(outcome.status == .success, "\(outcome.errors)")
            }
        }

        /// Programs that try one address after the other, or several at once, are no worse off.
        @Test func programsThatTryByThemselves() throws {
            try withManyAddresses(bad: [9], .silent) { test in
                for call in [
                    "socket.create_connection(('many', 7002))",
                    "asyncio.run(asyncio.open_connection('many', 7002, happy_eyeballs_delay=0.25))[1]",
                ] {
                    let outcome = try test.client.run(
                        shim()
                            + Peers.client(
                                """
                                import asyncio
                                begin = time.monotonic()
                                s = \(call)
                                assert time.monotonic() - begin < 1, time.monotonic() - begin
                                """))
                    #expect(outcome.status == .success, "\(outcome.errors)")
                }
            }
        }

        /// The program has an address and no name: the reverse name leads to others, if it leads back to that one.
        @Test func reverseNames() throws {
            try withManyAddresses(bad: [8, 9], .refuses) { test in
                // The hosts file has names too.
                try test.client.succeed(["/bin/sh", "-c", "grep -v many /run/hosts > /run/h; cat /run/h > /run/hosts"])
                _ = try test.serveNames([
                    "10.77.2.9 PTR db.test", "db.test A 10.77.2.9", "db.test A 10.77.2.2",
                    "10.77.2.8 PTR liar.test", "liar.test A 10.77.2.2",
                ])
                for (address, result) in [("10.77.2.9", "10.77.2.2"), ("10.77.2.8", "ECONNREFUSED")] {
                    let outcome = try test.client.run(
                        shim()
                            + Peers.client(
                                """
                                s = socket.socket()
                                try:
                                    s.connect((sys.argv[1], 7002))
                                    print(s.getpeername()[0])
                                except OSError as error: print(name(error))
                                """, [address]))
                    #expect(outcome.output == result + "\n", "\(outcome.errors)")
                }
            }
        }

        /// A gateway of eight addresses, of which seven are silent, is found as soon.
        @Test func aGatewayOfManyAddresses() throws {
            try withManyAddresses(bad: Array(11...17), .silent) { test in
                try test.lab.router.drop("ip daddr 10.77.2.11-10.77.2.17 tcp dport 7117")
                _ = try test.startGateway()
                let outcome = try test.client.run(
                    [try UnderTest.usl(), "--plain", "--gateway", "many", "--"]
                        + Peers.client(
                            """
                            begin = time.monotonic()
                            s = connect(7002, '10.77.2.2')
                            exactly(s, 10)
                            assert time.monotonic() - begin < 3.5, time.monotonic() - begin
                            """))
                #expect(outcome.status == .success, "\(outcome.errors)")
            }
        }

        /// Of two sources and two destinations one pair works.
        @Test(arguments: ["shim", "shim-sources"])
        func onePairWorks(treatment: String) throws {
            try withManyAddresses(bad: treatment == "shim" ? [9] : [], .silent) { test in
                try test.client.succeed(["ip", "address", "add", "10.77.1.3/24", "dev", "eth0"])
                try test.lab.router.drop("ip saddr 10.77.1.2 ip daddr 10.77.2.2 tcp dport 7002")
                let target = treatment == "shim" ? "bad" : "('10.77.2.2', 7002)"
                let script =
                    treatment == "shim" ? Self.toTheFirst : "s = socket.socket()\n"
                let outcome = try test.client.run(
                    [try UnderTest.usl(), "-v", "--treatment", treatment, "--"]
                        + Peers.client(
                            script + """
                                s.connect(\(target))
                                assert s.getsockname()[0] == '10.77.1.3', s.getsockname()
                                assert s.getpeername() == ('10.77.2.2', 7002), s.getpeername()
                                exactly(s, 10)
                                """))
                #expect(outcome.status == .success, "\(outcome.errors)")
            }
        }

        /// Time and error are those of the program alone.
        @Test func everythingIsDead() throws {
            try withManyAddresses(bad: [8, 9], .silent) { test in
                try test.client.succeed(["sysctl", "-qw", "net.ipv4.tcp_syn_retries=1"])
                try test.lab.router.drop("ip daddr 10.77.2.2 tcp dport 7002")
                func attempt(_ prefix: [String], _ call: String) throws -> (error: String, seconds: Int) {
                    let outcome = try test.client.run(
                        prefix
                            + Peers.client(
                                Self.toTheFirst + """
                                    try: \(call)
                                    except OSError as error: print(name(error), round(time.monotonic() - begin))
                                    """))
                    #expect(outcome.status == .success, "\(outcome.errors)")
                    let words = outcome.output.split { $0.isWhitespace }
                    return (words.first.map(String.init) ?? "", words.last.flatMap { Int($0) } ?? .max)
                }
                func alike(_ call: String) throws {
                    let (bare, shimmed) = (try attempt([], call), try attempt(shim(), call))
                    // Other attempts begin up to half a second later, and count as long as they may succeed.
                    #expect(bare.error == shimmed.error && (0...1).contains(shimmed.seconds - bare.seconds))
                }
                try alike("s.connect(bad)")
                // Nobody listens, at none of the addresses.
                let refused = "s.connect((bad[0], 7003))"
                try test.lab.router.succeed(["nft", "flush", "ruleset"])
                try alike(refused)
                // A timeout of the socket counts from the call.
                let limited = "s.settimeout(1); s.connect(('10.77.7.7', 7002))"
                try alike(limited)
            }
        }

        /// The agent has no part in the connection.
        @Test func theAgentIsKilledAfterwards() throws {
            try withManyAddresses(bad: [9], .refuses) { test in
                let client = try test.client.start(
                    shim()
                        + Peers.client(
                            Self.toTheFirst + """
                                s.connect(bad)
                                exactly(s, 10)
                                say('connected')
                                eventually(lambda: os.path.exists('/run/go'))
                                pingpong(s, 10)
                                say('verified')
                                """))
                try client.waitForOutput("connected")
                try test.client.killProcesses(called: "usl-agent")
                try test.client.succeed(["touch", "/run/go"])
                try client.waitForOutput("verified")
            }
        }

        /// On a path whose answers take longer than the patience of the shim, the one attempt is the application's own.
        @Test func aSlowServerSeesOneConnection() throws {
            var plan = Lab.Plan(hosts: ["client", "server"])
            plan.faulty = ["client"]
            try Lab.with(plan) { lab in
                try lab.path("client").set(.delay(.milliseconds(300)))
                let server = try lab["server"].start(
                    Peers.client(
                        """
                        listener = socket.create_server(('', 7002))
                        say('serving')
                        s = listener.accept()[0]
                        listener.close()
                        print(rest(s))
                        """))
                try server.waitForOutput("serving")
                let outcome = try lab["client"].run(
                    shim()
                        + Peers.client(
                            """
                            begin = time.monotonic()
                            s = connect(7002, '10.77.2.2')
                            assert time.monotonic() - begin < 0.9, time.monotonic() - begin
                            s.sendall(b'hello')
                            s.close()
                            """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                try server.waitForOutput("(b'hello', 'EOF')")
            }
        }

        /// What the application has bound stays.
        @Test func boundSources() throws {
            try withManyAddresses(bad: [9], .silent) { test in
                try test.client.succeed(["ip", "address", "add", "10.77.1.3/24", "dev", "eth0"])
                for source in ["('10.77.1.3', 0)", "('', 4711)", "('10.77.1.3', 4712)"] {
                    let outcome = try test.client.run(
                        shim()
                            + Peers.client(
                                Self.toTheFirst + """
                                    source = \(source)
                                    s.bind(source)
                                    s.connect(bad)
                                    assert source[0] in ('', s.getsockname()[0]), s.getsockname()
                                    assert source[1] in (0, s.getsockname()[1]), s.getsockname()
                                    exactly(s, 10)
                                    """))
                    #expect(outcome.status == .success, "\(source): \(outcome.errors)")
                }
            }
        }
    }
}

extension Host {
    fileprivate func make(_ fault: EndToEnd.ShimTests.Fault, at address: String, ports: String) throws {
        let match = "ip daddr \(address) tcp dport { \(ports) }"
        switch fault {
        case .silent: try drop(match)
        case .refuses: try drop(match, verdict: "reject with tcp reset")
        case .unreachable: try drop(match, verdict: "reject with icmp type host-unreachable")
        }
    }

    /// Lets nothing pass that matches.
    fileprivate func drop(_ match: String, verdict: String = "drop") throws {
        try loadRules(
            """
            table inet faults {
                chain pass {
                    type filter hook forward priority 0;
                    \(match) \(verdict)
                }
            }
            """)
    }
}
