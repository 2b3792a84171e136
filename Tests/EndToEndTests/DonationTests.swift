import NetworkLab
import Testing

extension EndToEnd {
    /// Programs that no library can be loaded into, with sockets that are donated to them, or with calls that are trapped.
    @Suite struct DonationTests {
        static let modes = ["donate", "seccomp"]

        /// What stands before a command: without a gateway.
        private func ordinary(_ usl: String, _ treatment: String = "shim", in mode: String = "donate") -> [String] {
            [usl, "--intercept", mode, "--detection", "off", "--treatment", treatment, "--"]
        }

        @Test(.timeLimit(.minutes(2)), arguments: modes)
        func aStaticProgramsSessionOutlivesResets(mode: String) throws {
            try UnderTest.withoutGateway { test in
                let gateway = try test.startGateway()
                try test.server.succeed(["mkdir", "/run/site"])
                try test.server.makeRandomFile("/run/site/large", megabytes: 200)
                let server = try test.serve(
                    ["/usr/bin/python3", "-m", "http.server", "8000"], port: 8000, directory: "/run/site")
                let attack = try test.lab.attack(
                    .socketKill(host: "server", port: UnderTest.gatewayPort, every: .milliseconds(50)))
                let url = "http://\(test.server.address):8000/large"
                try test.client.succeed(
                    try test.prefix(["--intercept", mode]) + ["busybox", "wget", "-q", "-O", "/run/large", url])
                attack.stop()
                #expect(attack.kills > 0)
                #expect(try test.client.digest("/run/large") == (try test.server.digest("/run/site/large")))
                #expect(gateway.ended == nil)
                server.terminate()
            }
        }

        /// Refused, unreachable, silent; names of both ends; a listener of its own; an address that is not this host's.
        @Test func errorsAndNamesAreTheKernels() throws {
            let script = Peers.client(
                """
                def attempt(host, port, family=socket.AF_INET):
                    s = socket.socket(family)
                    s.settimeout(3)
                    try:
                        s.connect((host, port))
                        print('connected', s.getsockname()[0], s.getpeername()[:2])
                    except OSError as error:
                        print(host, errno.errorcode.get(error.errno, error))
                address, address6 = sys.argv[1:]
                attempt(address, 7000)
                attempt(address6, 7000, socket.AF_INET6)
                attempt('::ffff:' + address, 7000, socket.AF_INET6)
                attempt(address, 1)
                attempt(address6, 1, socket.AF_INET6)
                attempt('127.0.0.1', 1)
                attempt('203.0.113.1', 80)
                attempt('2001:db8:bad::1', 80, socket.AF_INET6)
                own = socket.socket()
                own.bind(('127.0.0.1', 0))
                own.listen()
                s = socket.create_connection(own.getsockname())
                print(own.accept()[1] == s.getsockname())
                try: socket.socket().bind(('203.0.113.7', 0))
                except OSError as error: print(errno.errorcode[error.errno])
                """, [])
            try UnderTest.withoutGateway { test in
                let server = try test.serve(
                    ["ncat", "--listen", "--keep-open", "-p", "7000", "--sh-exec", "cat"], port: 7000)
                // It answers as often as it is asked, also by those who look for other names.
                try test.lab.router.succeed(
                    ["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"])
                let command = script + [test.server.address, test.server.address6]
                let bare = try test.client.succeed(command)
                for treatment in ["direct", "shim"] {
                    let found = try test.client.succeed(ordinary(try UnderTest.usl(), treatment) + command)
                    #expect(found == bare, "\(treatment)")
                }
                server.terminate()
            }
        }

        /// A server that resets each connection as soon as it has it: nobody waits for more, whoever is quicker, the reset on its way
        /// through the session or the leg.
        @Test(arguments: modes) func aServerResetsAtOnce(mode: String) throws {
            try UnderTest.withoutGateway { test in
                let gateway = try test.startGateway()
                let server = try test.serve(
                    Peers.client(
                        """
                        listener = socket.create_server(('', 7000), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256)
                        while True:
                            s, _ = listener.accept()
                            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                            s.close()
                        """, []), port: 7000)
                let script = Peers.client(
                    """
                    import select
                    for _ in range(200):
                        s = socket.socket()
                        s.settimeout(10)
                        try:
                            s.connect((sys.argv[1], 7000))
                            print('end' if s.recv(1) == b'' else 'bytes')
                        except (ConnectionResetError, ConnectionRefusedError): pass
                        except OSError as error: print(type(error), error)
                        s.close()
                    """, [test.server.address])
                let output = try test.client.succeed(
                    try test.prefix(["--intercept", mode]) + script, within: .seconds(60))
                #expect(output == "")
                #expect(gateway.ended == nil)
                server.terminate()
            }
        }

        /// A server under USL is reached from other hosts, and sees who they are.
        @Test func listenersAreReachedFromOutside() throws {
            try UnderTest.withoutGateway { test in
                let script = """
                    listener = socket.create_server(('', 8000), family=socket.AF_INET6, dualstack_ipv6=True)
                    connection, peer = listener.accept()
                    print(peer[0], connection.getsockname()[0], connection.recv(100))
                    connection.sendall(b'welcome')
                    """
                let server = try test.server.start(
                    ordinary(try UnderTest.usl(), "direct") + Peers.client(script, []))
                try test.server.waitForListener(port: 8000)
                let answer = try test.client.succeed(
                    ["ncat", test.server.address, "8000"], input: .bytes(Array("hello".utf8)))
                #expect(answer == "welcome")
                #expect(try server.wait(.seconds(10)) == .success)
                #expect(
                    server.standardOutput
                        == "::ffff:\(test.client.address) ::ffff:\(test.server.address) b'hello'\n")
            }
        }

        /// A port that is taken outside is taken inside.
        @Test func aPortThatIsTakenIsTaken() throws {
            try UnderTest.withoutGateway { test in
                let other = try test.serve(["ncat", "--listen", "-p", "8000"], port: 8000)
                let outcome = try test.server.run(
                    ordinary(try UnderTest.usl(), "direct") + ["ncat", "--listen", "-p", "8000"])
                #expect(outcome.status != .success)
                #expect(outcome.errors.contains("Address already in use"), "\(outcome.errors)")
                other.terminate()
            }
        }

        /// An agent that dies leaves SYNs where they are, until the next has decided; its sessions go on.
        @Test(arguments: modes) func theAgentIsKilled(mode: String) throws {
            try UnderTest.withoutGateway { test in
                let gateway = try test.startGateway()
                let server = try test.serve(
                    ["socat", "TCP-LISTEN:7000,fork", "EXEC:cat"], port: 7000)
                let script = Peers.client(
                    """
                    import os
                    first = socket.create_connection((sys.argv[1], 7000))
                    for round in range(5):
                        print('round', round, flush=True)
                        eventually(lambda: os.path.exists(f'/run/killed-{round}'), 10)
                        second = socket.create_connection((sys.argv[1], 7000))
                        for s in (first, second):
                            s.sendall(b'x' * 100000)
                            left = 100000
                            while left: left -= len(s.recv(left))
                    print('done')
                    """, [test.server.address])
                let client = try test.client.start(try test.prefix(["--intercept", mode]) + script)
                for round in 0..<5 {
                    try client.waitForOutput("round \(round)")
                    try test.client.killProcesses(called: "usl-agent")
                    try test.client.succeed(["touch", "/run/killed-\(round)"])
                }
                #expect(try client.wait(.seconds(20)) == .success, "\(client.standardError)")
                #expect(gateway.ended == nil)
                server.terminate()
            }
        }

        /// Nobody needs to be root for it.
        @Test(arguments: modes) func anOrdinaryUser(mode: String) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.serve(
                    ["ncat", "--listen", "--keep-open", "-p", "7000", "--sh-exec", "echo hello"], port: 7000)
                let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/nonexistent"]
                let output = try test.client.succeed(
                    user + ordinary(try UnderTest.usl(), in: mode) + [
                        "ncat", "--recv-only", test.server.address, "7000",
                    ])
                #expect(output == "hello\n")
                server.terminate()
            }
        }

        /// Only one supervisor can be in charge of a program.
        @Test(arguments: modes) func insideAnother(mode: String) throws {
            try UnderTest.withoutGateway { test in
                let outer = ordinary(try UnderTest.usl(), in: mode)
                let outcome = try test.client.run(outer + outer + ["true"])
                #expect(outcome.status == .exited(125))
                #expect(outcome.errors.contains("another supervisor"), "\(outcome.errors)")
                #expect(try test.client.run(outer + ["/nowhere/at/all"]).status == .exited(127))
            }
        }
    }
}
