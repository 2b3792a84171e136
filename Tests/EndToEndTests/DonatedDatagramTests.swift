import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Datagrams of programs that no library can be loaded into, through sockets that are donated to them.
    @Suite struct DonatedDatagramTests {
        private func usl(_ options: [String] = []) throws -> [String] {
            [try UnderTest.usl(), "--intercept", "donate", "--donate-udp", "--detection", "off"] + options + ["--"]
        }

        private static let withRules = ["--policy", "/run/policy.toml"]

        /// What a program in every way sends, hears and is told is as without USL; and its servers see one port of it. Without rules, and where
        /// every datagram is an agent's business.
        @Test(.timeLimit(.minutes(2)))
        func everythingIsAsWithoutUSL() throws {
            try UnderTest.withoutGateway { test in
                let servers = try test.server.start(["/usr/bin/python3", "-c", Self.servers])
                try servers.waitForOutput("serving")
                for host in [test.lab.router, test.server, test.client] {
                    // ICMP is told as often as it is asked for.
                    try host.succeed([
                        "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
                        "net.ipv4.icmp_msgs_per_sec=100000", "net.ipv4.icmp_msgs_burst=100000",
                    ])
                }
                let program = ["/usr/bin/python3", "-c", Self.program, test.server.address, test.server.address6]
                let bare = try test.client.succeed(program)
                #expect(bare.hasSuffix("done\n"))
                #expect(try test.client.succeed(try usl(["--treatment", "direct"]) + program) == bare)
                #expect(try test.client.succeed(try usl() + program) == bare)
            }
        }

        /// 9999 and 9998 say who asks; 9997, how much has come; 9996, how many have, behind the last.
        private static let servers = """
            import socket, threading
            def server(port):
                s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
                s.bind(('::', port))
                return s
            def serve(port, answer):
                s = server(port)
                while True:
                    data, client = s.recvfrom(70000)
                    s.sendto(answer(data, client), client)
            def count():
                s, numbers = server(9996), {}
                while True:
                    data, client = s.recvfrom(70000)
                    numbers[client] = numbers.get(client, 0) + 1
                    if data == b'end': s.sendto(str(numbers.pop(client)).encode(), client)
            for port in (9999, 9998):
                threading.Thread(target=serve, args=(port, lambda data, client: f'{client[0]} {client[1]}'.encode())).start()
            threading.Thread(target=serve, args=(9997, lambda data, client: str(len(data)).encode())).start()
            threading.Thread(target=count).start()
            print('serving', flush=True)
            """

        private static let program = #"""
            import errno, os, socket, struct, sys, threading
            IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE = 11, 25, 0x2000
            host4, host6 = sys.argv[1:3]
            def new(family, timeout=5):
                s = socket.socket(family, socket.SOCK_DGRAM)
                s.settimeout(timeout)
                return s
            def say(*words): print(*words, flush=True)
            def attempt(name, action):
                try: say(name, action())
                except OSError as error: say(name, errno.errorcode.get(error.errno, error))
            def told(family, s):
                """What the queue of errors has: about whom, how, and who says so."""
                data, control, flags, name = s.recvmsg(10, 200, MSG_ERRQUEUE)
                code, origin, kind, number = struct.unpack_from('=IBBB', control[0][2])
                author = control[0][2][16:][4:8] if family == socket.AF_INET else control[0][2][16:][8:24]
                return name, errno.errorcode[code], origin, kind, number, socket.inet_ntop(family, author)
            for family, host, loopback in ((socket.AF_INET, host4, '127.0.0.1'), (socket.AF_INET6, host6, '::1')):
                say('one port, whomever it speaks to, connected or not')
                s = new(family)
                s.bind(('', 40123))
                for port in (9999, 9998):
                    s.sendto(b'a', (host, port)); say(s.recvfrom(100))
                s.connect((host, 9999)); s.send(b'b'); say(s.recv(100), s.getpeername(), s.getsockname())
                s.close()
                s = new(family)
                s.sendto(b'a', (host, 9999)); say(int(s.recv(100).split()[1]) == s.getsockname()[1])
                say('refused')
                for place in (host, loopback):
                    s = new(family); s.connect((place, 9)); s.send(b'x')
                    attempt('at once', lambda: s.recv(10))
                    attempt('again', lambda: s.send(b'x') and s.recv(10))
                    s = new(family, 0.3); s.sendto(b'x', (place, 9))
                    attempt('not connected', lambda: s.recv(10))
                say('from empty to the largest')
                s = new(family); s.connect((host, 9997))
                for size in (0, 1, 1472, 1473, 40000, 65000, 65488, 65507):
                    s.send(bytes(size)); say(size, s.recv(100))
                attempt('too large', lambda: s.send(bytes(65536)))
                say('what routers say')
                for hops, place in ((1, host), (64, '203.0.113.1' if family == socket.AF_INET else '2001:db8:bad::1')):
                    s = new(family, 3)
                    if family == socket.AF_INET:
                        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1); s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
                    else:
                        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
                    s.sendto(b'x', (place, 9999))
                    attempt('error', lambda: s.recv(10))
                    attempt('queue', lambda: told(family, s))
                say('sockets of its own')
                server, client = new(family), new(family)
                server.bind((loopback, 0)); client.connect(server.getsockname())
                client.send(b'in'); data, peer = server.recvfrom(10); say(data, peer == client.getsockname())
                server.sendto(b'out', peer); say(client.recv(10))
                client.send(bytes(65507)); say(len(server.recv(70000)))
                server.close(); client.send(b'late'); attempt('closed', lambda: client.recv(10))
                say('a child, threads, many')
                s = new(family); s.connect((host, 9997))
                if os.fork() == 0:
                    s.send(b'child'); say(s.recv(100)); os._exit(0)
                os.wait()
                def speak():
                    t = new(family); t.sendto(b'thread', (host, 9997)); say(t.recv(100))
                for _ in range(3):
                    thread = threading.Thread(target=speak); thread.start(); thread.join()
                many = [new(family) for _ in range(200)]
                for m in many: m.sendto(b'many', (host, 9997))
                say(len([m.recv(100) for m in many]))
                say('more than fits into any buffer')
                def burst():
                    s = new(family); s.connect((host, 9996))
                    for number in range(2000): s.send(bytes(1400))
                    s.send(b'end')
                    try: return s.recv(100) == b'2001'
                    except TimeoutError: return False
                # A busy machine may lose one on its way.
                say(any(burst() for _ in range(5)))
            s = new(socket.AF_INET6); s.sendto(b'mapped', ('::ffff:' + host4, 9997)); say(s.recvfrom(100))
            say('done')
            """#

        @Test(arguments: DatagramTests.Fault.allCases)
        func theServerOfNamesIsDead(_ fault: DatagramTests.Fault) throws {
            try DatagramTests.withServers(fault) { test in
                let outcome = try test.client.run(try usl(Self.withRules + ["-v"]) + DatagramTests.dig)
                DatagramTests.expectAnswerOfAnother(outcome)
            }
        }

        /// A static program, with the system's configuration.
        @Test func aStaticProgramsNameServerIsSilent() throws {
            try DatagramTests.withServers(.silent) { test in
                let query = ["busybox", "nslookup", "db.test", "10.77.2.9"]
                let outcome = try test.client.run(try usl(Self.withRules) + query)
                #expect(outcome.output.contains("Address: 192.0.2.80"), "\(outcome)")
            }
        }

        /// A server under USL is spoken to first, by IPv4 and IPv6, and knows by whom.
        @Test func aServerIsSpokenToFirst() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(try usl() + ["/usr/bin/python3", "-c", Self.servers])
                try server.waitForOutput("serving")
                for (address, client) in [
                    (test.server.address, "::ffff:\(test.client.address)"),
                    (test.server.address6, test.client.address6),
                ] {
                    let script = """
                        import socket, sys, time
                        s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
                        s.settimeout(0.2)
                        s.connect((sys.argv[1], 9999))
                        # Its port is there soon, but nobody says when: until then, it refuses.
                        for _ in range(50):
                            try: s.send(b'x'); answer = s.recv(100); break
                            except OSError: time.sleep(0.01)
                        print(answer.decode() == f'{sys.argv[2]} {s.getsockname()[1]}')
                        """
                    let output = try test.client.succeed(["/usr/bin/python3", "-c", script, address, client])
                    #expect(output == "True\n")
                }
                server.terminate()
            }
        }

        /// What a program has sent last arrives, though it has ended before the agent was asked.
        @Test func theLastDatagrams() throws {
            try UnderTest.withoutGateway { test in
                let count = """
                    import socket
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9999)); s.settimeout(10)
                    print('serving', flush=True)
                    for _ in range(20): print(s.recv(100), flush=True)
                    """
                let server = try test.server.start(["/usr/bin/python3", "-c", count])
                try server.waitForOutput("serving")
                let script = """
                    import os, socket, sys
                    for number in range(4):
                        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'last', (sys.argv[1], 9999))
                    os._exit(0)
                    """
                for _ in 0..<5 {
                    try test.client.succeed(try usl() + ["/usr/bin/python3", "-c", script, test.server.address])
                }
                #expect(try server.wait(.seconds(15)) == .success, "\(server.standardOutput)")
            }
        }

        /// Where nothing else is known it is as without USL, and as soon; and so where a rule refuses.
        @Test func refusedEverywhere() throws {
            try DatagramTests.withServers(.refuses) { test in
                let bare = try test.client.run(DatagramTests.dig)
                let rule = "[[rule]]\nprotocol = \"udp\"\nport = 53\ntreatment = \"refuse\"\n"
                try test.client.succeed(["/bin/sh", "-c", "cat > /run/refuse.toml"], input: .bytes(Array(rule.utf8)))
                for options in [[], ["--policy", "/run/refuse.toml"]] {
                    let clock = ContinuousClock()
                    var outcome = bare
                    let time = try clock.measure {
                        outcome = try test.client.run(try usl(options) + DatagramTests.dig)
                    }
                    #expect(
                        outcome.status == bare.status && outcome.output == bare.output && outcome.errors == bare.errors,
                        "\(outcome)")
                    #expect(time < .seconds(1.5), "\(time)")
                }
            }
        }

        /// Agents are killed between requests: those that an agent relays go on with the next, others go on by themselves.
        @Test func agentsAreKilled() throws {
            try DatagramTests.withServers(.silent) { test in
                let script = """
                    import os, socket, time
                    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
                    targets = [('10.77.2.9', 123), ('10.77.2.9', 123), ('10.77.2.2', 9999)]
                    sockets[0].connect(targets[0])
                    for number in range(1, 5):
                        while not os.path.exists(f'/run/{number}'): time.sleep(0.001)
                        fresh = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        for s, target in zip(sockets + [fresh], targets + [targets[0]]):
                            s.settimeout(5)
                            s.send(b'\\x23' + bytes(47)) if s is sockets[0] else s.sendto(b'\\x23' + bytes(47), target)
                            data, sender = s.recvfrom(100)
                            assert sender == target, sender
                        print('answered', number, flush=True)
                    """
                let program = try test.client.start(
                    try usl(Self.withRules) + ["/usr/bin/python3", "-c", script])
                for number in 1...4 {
                    try test.client.succeed(["touch", "/run/\(number)"])
                    try program.waitForOutput("answered \(number)\n")
                    if number < 4 { try test.client.killProcesses(called: "usl-agent") }
                }
                #expect(try program.wait(.seconds(10)) == .success, "\(program.standardError)")
            }
        }

        /// As long as a program has its socket, its servers reach it at the port that they know; and ports that it has no more do not
        /// stay taken.
        @Test func anOrdinaryUsersPorts() throws {
            try UnderTest.withoutGateway { test in
                let script = """
                    import socket
                    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); taken.settimeout(5)
                    taken.bind(('', 40200))
                    taken.sendto(b'x', (b'\(test.server.address)'.decode(), 9999)); print(taken.recv(100).split()[1] != b'40200')
                    free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); free.settimeout(5)
                    free.bind(('', 40201))
                    free.sendto(b'x', (b'\(test.server.address)'.decode(), 9999)); print(free.recv(100).split()[1])
                    """
                let servers = try test.server.start(["/usr/bin/python3", "-c", Self.servers])
                try servers.waitForOutput("serving")
                let other = try test.client.start([
                    "/usr/bin/python3", "-c",
                    "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 40200));"
                        + "print('bound', flush=True); time.sleep(60)",
                ])
                try other.waitForOutput("bound")
                let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/nonexistent"]
                let outcome = try test.client.run(user + usl(["-v"]) + ["/usr/bin/python3", "-c", script])
                #expect(outcome.output == "True\nb'40201'\n", "\(outcome.errors)")
                #expect(outcome.errors.contains("datagrams of the program from port 40200 leave from port"))
                other.terminate()
            }
        }

        /// A program waits for a slow network, or is told to, as without USL: nothing is lost on its way there.
        @Test func aSlowNetworkIsWaitedFor() throws {
            try UnderTest.withoutGateway { test in
                let servers = try test.server.start(["/usr/bin/python3", "-c", Self.servers])
                try servers.waitForOutput("serving")
                // With a queue that holds more than any socket may have in it.
                try test.client.succeed([
                    "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "16mbit", "burst", "10000", "limit",
                    "100000000",
                ])
                let script = """
                    import socket, sys
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10); s.connect((sys.argv[1], 9996))
                    for number in range(1000): s.send(bytes(1400))
                    s.send(b'end'); print(s.recv(100))
                    s.setblocking(False)
                    try:
                        while True: s.send(bytes(1400))
                    except BlockingIOError: print('full')
                    """
                let program = ["/usr/bin/python3", "-c", script, test.server.address]
                #expect(try test.client.succeed(program) == "b'1001'\nfull\n")
                let outcome = try test.client.run(try usl() + program)
                #expect(outcome.output == "b'1001'\nfull\n", "\(outcome)")
            }
        }

        /// Whoever is asked with all others answers.
        @Test(arguments: ["239.77.1.1", "255.255.255.255", "10.77.1.255"])
        func manyAreAsked(destination: String) throws {
            try UnderTest.withoutGateway { test in
                let answering = """
                    import socket
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9995))
                    group = socket.inet_aton('239.77.1.1') + socket.inet_aton('10.77.1.1')
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
                    print('serving', flush=True)
                    while True:
                        data, client = s.recvfrom(100)
                        s.sendto(f'{client[0]} {client[1]}'.encode(), client)
                    """
                let answerer = try test.lab.router.start(["/usr/bin/python3", "-c", answering])
                try answerer.waitForOutput("serving")
                let script = """
                    import socket, sys
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
                    if sys.argv[1].startswith('255'):
                        try: s.sendto(b'x', (sys.argv[1], 9995))
                        except PermissionError: print('not permitted')
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    s.sendto(b'x', (sys.argv[1], 9995))
                    data, answerer = s.recvfrom(100)
                    print(answerer, data.decode().split()[0], int(data.decode().split()[1]) == s.getsockname()[1])
                    """
                let program = ["/usr/bin/python3", "-c", script, destination]
                let bare = try test.client.succeed(program)
                #expect(bare.hasSuffix("('10.77.1.1', 9995) 10.77.1.2 True\n"))
                #expect(try test.client.succeed(try usl() + program) == bare)
                answerer.terminate()
            }
        }

        @Test func itIsForDonatedSocketsAlone() throws {
            try UnderTest.withoutGateway { test in
                let outcome = try test.client.run([try UnderTest.usl(), "--donate-udp", "true"])
                #expect(outcome.status == .exited(125))
                #expect(outcome.errors.contains("--donate-udp needs --intercept donate"), "\(outcome.errors)")
            }
        }
    }
}
