import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Requests over UDP, of which some paths do not work.
    @Suite struct DatagramTests {
        /// What is wrong with an address of the server.
        enum Fault: CaseIterable {
            case silent
            case refuses
            case unreachable
        }

        /// The server has 10.77.2.2, where names are served, the time at port 123, and at 9999 whatever comes; and 10.77.2.9, where
        /// nothing is.
        static func withServers(_ fault: Fault, _ body: (UnderTest) throws -> Void) throws {
            try UnderTest.withoutGateway { test in
                let names = try test.server.start(
                    NameServer.command(at: test.server.address, zone: ["db.test A 192.0.2.80"]))
                let others = try test.server.start(["/usr/bin/python3", "-c", Self.others])
                try test.server.succeed(["ip", "address", "add", "10.77.2.9/24", "dev", "eth0"])
                try test.lab.router.make(fault)
                try names.waitForOutput("serving")
                try others.waitForOutput("serving")
                let policy = """
                    [[rule]]
                    protocol = "udp"
                    port = [53, 123]
                    destination = "10.77.2.9"
                    treatment = "shim"
                    addresses = ["10.77.2.2"]
                    """
                try test.client.succeed(["/bin/sh", "-c", "cat > /run/policy.toml"], input: .bytes(Array(policy.utf8)))
                try body(test)
            }
        }

        /// A server of the time (RFC 5905): version and mode, stratum 2, and the client's transmit timestamp as origin. And one that
        /// says to whoever asks who that is.
        private static let others = """
            import socket, struct, threading, time
            def serve(port, answer):
                server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                server.bind(('::', port))
                while True:
                    question, client = server.recvfrom(65535)
                    server.sendto(answer(question, client), client)
            def stamp():
                now = time.time() + 2208988800
                return struct.pack('>II', int(now), int(now % 1 * 2 ** 32))
            threading.Thread(target=serve, args=(123, lambda question, client:
                struct.pack('>BBbb', 0x24, 2, 6, -20) + bytes(8) + b'TEST' + stamp() + question[40:48] + stamp() + stamp())).start()
            threading.Thread(target=serve, args=(9999, lambda question, client:
                ' '.join([question.decode(), client[0], str(client[1])]).encode())).start()
            print('serving', flush=True)
            """

        private func usl(_ options: [String] = []) throws -> [String] {
            [try UnderTest.usl(), "--policy", "/run/policy.toml"] + options + ["--"]
        }

        /// What `dig` has come to with a dead server, under USL: another server's answer, which looks like that one's.
        static func expectAnswerOfAnother(_ outcome: Host.Outcome) {
            #expect(outcome.status == .success, "\(outcome.output)\(outcome.errors)")
            #expect(outcome.output.contains("192.0.2.80"))
            #expect(outcome.output.contains(";; SERVER: 10.77.2.9#53(10.77.2.9)"))
            let told = "usl: dig: 10.77.2.9:53 does not answer; 10.77.2.2:53 does\n"
            #expect(outcome.errors.contains(told), "\(outcome.errors)")
        }

        static let dig = ["dig", "+tries=1", "+time=1", "+noedns", "@10.77.2.9", "db.test"]

        @Test(arguments: Fault.allCases)
        func theServerOfNamesIsDead(_ fault: Fault) throws {
            try Self.withServers(fault) { test in
                #expect(try test.client.run(Self.dig).status == .exited(9))
                let outcome = try test.client.run(usl(["-v"]) + Self.dig)
                Self.expectAnswerOfAnother(outcome)
            }
        }

        /// Where nothing else is known it is as without USL, and as soon.
        @Test func refusedEverywhere() throws {
            try Self.withServers(.refuses) { test in
                let bare = try test.client.run(Self.dig)
                let clock = ContinuousClock()
                var outcome = bare
                let time = try clock.measure { outcome = try test.client.run([try UnderTest.usl(), "--"] + Self.dig) }
                #expect(outcome.status == bare.status && outcome.output == bare.output && outcome.errors == bare.errors)
                #expect(time < .seconds(1.5), "\(time)")
            }
        }

        @Test func theServerOfTheTimeIsSilent() throws {
            try Self.withServers(.silent) { test in
                let query = ["ntpdig", "-j", "-t", "1", "10.77.2.9"]
                #expect(try test.client.run(query).status != .success)
                let outcome = try test.client.run(usl() + query)
                #expect(outcome.status == .success && outcome.output.contains("\"host\":\"10.77.2.9\""), "\(outcome)")
            }
        }

        /// Other addresses of a name that the program has resolved, and other addresses of this machine.
        @Test(arguments: ["name", "source"])
        func withoutARule(way: String) throws {
            try Self.withServers(.silent) { test in
                try test.client.succeed([
                    "/bin/sh", "-c",
                    "printf '10.77.2.9 ns\\n10.77.2.2 ns\\n' >> /run/hosts; ip address add 10.77.1.3/24 dev eth0",
                ])
                if way == "source" {
                    try test.lab.router.drop("ip saddr 10.77.1.2 ip daddr 10.77.2.2 udp dport 123", table: "sources")
                }
                let script = """
                    import socket, sys
                    target = (sys.argv[1], 123)
                    if sys.argv[2] == 'name': socket.getaddrinfo('ns', 123)
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    s.settimeout(3)
                    s.sendto(b'\\x23' + bytes(47), target)
                    data, sender = s.recvfrom(100)
                    assert sender == target and len(data) == 48, (sender, data)
                    """
                let target = way == "name" ? "10.77.2.9" : "10.77.2.2"
                let outcome = try test.client.run(
                    [try UnderTest.usl(), "--"] + ["/usr/bin/python3", "-c", script, target, way])
                #expect(outcome.status == .success, "\(outcome.errors)")
            }
        }

        /// What is none of USL's business has the very same addresses as without it, IPv4 and IPv6; and a connected socket of its
        /// business has its names.
        @Test func otherDatagramsAreUntouched() throws {
            try Self.withServers(.silent) { test in
                let script = """
                    import socket
                    for family, host in ((socket.AF_INET, '10.77.2.2'), (socket.AF_INET6, '\(test.server.address6)')):
                        s = socket.socket(family, socket.SOCK_DGRAM)
                        s.settimeout(5)
                        s.bind(('', 40123))
                        s.sendto(b'a', (host, 9999)); print(s.recvfrom(100))
                        s.connect((host, 9999)); s.send(b'b'); print(s.recv(100), s.getpeername(), s.getsockname())
                        s.close()
                        s = socket.socket(family, socket.SOCK_DGRAM)
                        s.settimeout(5)
                        s.connect((host, 123)); print(s.getpeername(), s.getsockname()[0])
                        s.send(b'\\x23' + bytes(47)); print(len(s.recv(100)))
                        s.connect((host, 9999)); s.send(b'c'); print(s.recvfrom(100)[0].split()[:2], s.getsockname()[0])
                    """
                let program = ["/usr/bin/python3", "-c", script]
                let bare = try test.client.succeed(program)
                #expect(try test.client.succeed(try usl() + program) == bare)
            }
        }

        /// Agents are killed between requests: a connected socket and one that is not go on.
        @Test func agentsAreKilled() throws {
            try Self.withServers(.silent) { test in
                let script = """
                    import os, socket, time
                    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
                    target = ('10.77.2.9', 123)
                    sockets[0].connect(target)
                    for s in sockets: s.settimeout(5)
                    for number in range(1, 5):
                        while not os.path.exists(f'/run/{number}'): time.sleep(0.001)
                        for s, send in zip(sockets, (sockets[0].send, lambda data: sockets[1].sendto(data, target))):
                            send(b'\\x23' + bytes(47))
                            data, sender = s.recvfrom(100)
                            assert len(data) == 48 and sender == target, sender
                        assert sockets[0].getpeername() == target and sockets[0].getsockname()[0] == '10.77.1.2'
                        print('answered', number, flush=True)
                    """
                let program = try test.client.start(try usl() + ["/usr/bin/python3", "-c", script])
                for number in 1...4 {
                    try test.client.succeed(["touch", "/run/\(number)"])
                    try program.waitForOutput("answered \(number)\n")
                    if number < 4 { try test.client.killProcesses(called: "usl-agent") }
                }
                #expect(try program.wait(.seconds(10)) == .success)
            }
        }
    }
}

extension Host {
    /// Of the server's second address, for all that is UDP.
    fileprivate func make(_ fault: EndToEnd.DatagramTests.Fault) throws {
        let match = "ip daddr 10.77.2.9 meta l4proto udp"
        switch fault {
        case .silent: try drop(match, table: "faults")
        case .refuses: break
        case .unreachable: try drop(match, verdict: "reject with icmp type host-unreachable", table: "faults")
        }
    }

    func drop(_ match: String, verdict: String = "drop", table: String) throws {
        let rules = """
            table inet \(table) {
                chain pass {
                    type filter hook forward priority 0;
                    \(match) \(verdict)
                }
            }
            """
        try loadRules(rules)
    }
}
