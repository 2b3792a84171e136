import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Server programs under USL: their ports are offered, and clients under USL need to know nothing.
    @Suite struct ServerTests {
        /// What runs on both hosts, with nothing but its default settings.
        private struct Site {
            let test: UnderTest
            let usl: String

            var client: Host { test.client }
            var server: Host { test.server }

            /// By which the server's gateways are known.
            var key: String {
                get throws { String(try server.succeed([usl, "identity"]).prefix { $0 != " " }) }
            }

            /// Starts a server program and waits until its port is offered.
            func serve(_ options: [String] = [], _ command: [String], port: UInt16) throws -> LabProcess {
                let process = try server.start([usl, "-v"] + options + ["--"] + command)
                try server.waitForListener(port: port)
                return process
            }

            func offered(_ options: [String] = [], _ command: [String], port: UInt16) throws -> LabProcess {
                let process = try serve(options, command, port: port)
                try process.waitForLine("port \(port) is offered through")
                return process
            }

            /// How many living processes gateways have that were started for offers, keepers and workers.
            func gateways() throws(LabError) -> Int {
                let all = try server.succeed(["ps", "-eo", "stat=,comm="])
                return all.split(separator: "\n").count { $0.hasSuffix(" usl-offers") && !$0.hasPrefix("Z") }
            }

            func awaitGateways(_ count: Int, within limit: Duration = .seconds(20)) throws {
                try waitUntil("\(count) processes of a gateway", within: limit) { () throws(LabError) in
                    try gateways() == count
                }
            }
        }

        private func with(rate: Lab.Rate? = nil, _ body: (Site) throws -> Void) throws {
            let usl = try UnderTest.usl()
            try Lab.with(hosts: ["client", "server"], rate: rate) { lab in
                try body(Site(test: UnderTest(lab: lab, mode: .usl, prefix: [usl, "--"]), usl: usl))
            }
        }

        /// A server at all addresses, as its script has it, that echoes what it hears and tells who says it.
        private static func echo(port: UInt16 = 7002, family: String = "AF_INET6", host: String = "::") -> [String] {
            Peers.client(
                """
                listener = socket.create_server(
                    ('\(host)', \(port)), family=socket.\(family), dualstack_ipv6=\(family == "AF_INET6" ? "True" : "False"))
                say('serving')
                def run(s):
                    s.sendall(b'220 ready\\n')
                    while data := s.recv(65536): s.sendall(data)
                    s.close()
                while True:
                    s, address = listener.accept()
                    say('accepted', address[0], s.getpeername()[0], s.getpeername() == address)
                    threading.Thread(target=run, args=(s,), daemon=True).start()
                """)
        }

        @Test(arguments: [false, true]) func netcatNeedsNothingElse(isAttacked: Bool) throws {
            try with(rate: .megabits(200)) { site in
                for host in [site.client, site.server] { try host.makeRandomFile("/run/file", megabytes: 24) }
                let netcat = "exec \(site.usl) ncat -l 1337 </run/file >/run/received"
                let server = try site.server.start(["/bin/bash", "-c", netcat])
                try site.server.waitForListener(port: 1337)
                try site.server.waitForListener(port: UnderTest.gatewayPort)
                let attack =
                    isAttacked
                    ? try site.test.lab.attack(
                        .socketKill(host: "server", port: UnderTest.gatewayPort, every: .milliseconds(200))) : nil
                try site.client.succeed(
                    ["/bin/bash", "-c", "exec \(site.usl) -v ncat server 1337 </run/file >/run/received 2>/run/said"],
                    within: .seconds(60))
                #expect(try server.wait(.seconds(20)) == .success)
                if let attack {
                    attack.stop()
                    #expect(attack.kills > 2)
                }
                #expect(try site.client.digest("/run/received") == site.server.digest("/run/file"))
                #expect(try site.server.digest("/run/received") == site.client.digest("/run/file"))
                let said = try site.client.succeed(["cat", "/run/said"])
                #expect(said.contains("session"), "\(said)")
                #expect(server.standardError == "", "nothing is said without -v")
                try site.awaitGateways(0)
            }
        }

        enum Victim: String, CaseIterable, CustomTestStringConvertible {
            case agent, gateway, both
            var testDescription: String { rawValue }
        }

        @Test(arguments: Victim.allCases) func killedAgentsAndGateways(victim: Victim) throws {
            try with { site in
                let server = try site.offered([], Self.echo(), port: 7002)
                let client = try site.client.start([site.usl, "-v", "--"] + Peers.client(Peers.conversation))
                try client.waitForOutput("talking")
                try site.client.expectSessions("len(sessions) == 1")
                for _ in 0..<4 {
                    if victim != .gateway { try site.server.killProcesses(called: "usl-agent") }
                    if victim != .agent { try site.server.killProcesses(called: "usl-offers", exceptFirst: true) }
                    usleep(UInt32.random(in: 200_000..<700_000))
                }
                // What is new is served too, whoever has died.
                let second = try site.client.run(
                    [site.usl, "-v", "--"] + Peers.client("s = connect(7002)\nexactly(s, 10)\npingpong(s, 20)"))
                #expect(second.status == .success && second.errors.contains("session"), "\(second.errors)")
                try site.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(20))
                #expect(try client.wait(.seconds(10)) == .success)
                server.signal(SIGTERM)
                _ = try server.wait(.seconds(10))
                try site.awaitGateways(0)
            }
        }

        /// Where the gateway is gone as a whole, the agent looks for another one.
        @Test func anotherGateway() throws {
            try with { site in
                let server = try site.offered([], Self.echo(), port: 7002)
                try site.server.killProcesses(called: "usl-offers")
                try server.waitForLine("has ended")
                try site.awaitGateways(2)
                try site.server.waitForListener(port: UnderTest.gatewayPort)
                let client = try site.client.run(
                    [site.usl, "-v", "--"] + Peers.client("s = connect(7002)\nexactly(s, 10)\npingpong(s, 20)"))
                #expect(client.status == .success && client.errors.contains("session"), "\(client.errors)")
            }
        }

        /// Servers see the client, whatever they listen with, and others as ever.
        @Test(arguments: [("AF_INET6", "::"), ("AF_INET", "0.0.0.0")]) func clientsHaveTheirAddresses(
            family: String, host: String
        ) throws {
            try with { site in
                let server = try site.offered([], Self.echo(family: family, host: host), port: 7002)
                let address = site.server.address
                let script = "s = connect(7002, '\(address)')\nexactly(s, 10)\npingpong(s, 5)"
                let client = try site.client.run([site.usl, "-v", "--"] + Peers.client(script))
                #expect(client.status == .success && client.errors.contains("session"), "\(client.errors)")
                let mapped = family == "AF_INET6" ? "::ffff:" : ""
                let seen = "\(mapped)\(site.client.address)"
                try server.waitForOutput("accepted \(seen) \(seen) True")
                // Without USL, from another host and from this one.
                try site.client.succeed(Peers.client(script))
                try site.server.succeed(Peers.client(script))
                let own = "\(mapped)\(address)"
                try server.waitForOutput("accepted \(own) \(own) True")
                #expect(server.standardOutput.split(separator: "\n").count == 4)
            }
        }

        /// Several servers have one gateway, which ends with the last; nothing else of the host is touched by it.
        @Test func oneGatewayForAll() throws {
            try with { site in
                let talk = { (port: UInt16) in
                    [site.usl, "-v", "--"] + Peers.client("s = connect(\(port))\nexactly(s, 10)\npingpong(s, 5)")
                }
                // A port that no server under USL has.
                let other = try site.server.start(Self.echo(port: 7009))
                try site.server.waitForListener(port: 7009)
                let first = try site.offered([], Self.echo(port: 7002), port: 7002)
                #expect(first.standardError.contains("a gateway of its own"))
                let second = try site.offered([], Self.echo(port: 7003), port: 7003)
                #expect(second.standardError.contains("this user's gateway"))
                #expect(try site.gateways() == 2)
                for port: UInt16 in [7002, 7003] {
                    let client = try site.client.run(talk(port))
                    #expect(client.status == .success && client.errors.contains("session"), "\(client.errors)")
                }
                for _ in 0..<2 {
                    let ordinary = try site.client.run(talk(7009))
                    #expect(ordinary.status == .success, "\(ordinary.errors)")
                    #expect(ordinary.errors.contains("does not serve") && !ordinary.errors.contains("session"))
                }
                try site.client.succeed(Peers.client("s = connect(7002)\nexactly(s, 10)\npingpong(s, 5)"))
                // The first has started it, and it stays for the second.
                first.signal(SIGTERM)
                _ = try first.wait(.seconds(10))
                let stays = try site.client.run(talk(7003))
                #expect(stays.status == .success && stays.errors.contains("session"), "\(stays.errors)")
                second.signal(SIGTERM)
                _ = try second.wait(.seconds(10))
                try site.awaitGateways(0)
                // Nothing waits for a gateway that has gone, nor for a server.
                let after = try site.client.run(talk(7009), within: .seconds(5))
                #expect(after.status == .success, "\(after.errors)")
                let gone = try site.client.run(talk(7003), within: .seconds(5))
                #expect(gone.errors.contains("ConnectionRefusedError"), "\(gone.errors)")
                // The next one is found at once, by whoever was refused a moment ago.
                _ = try site.offered([], Self.echo(port: 7003), port: 7003)
                let again = try site.client.run(talk(7003))
                #expect(again.status == .success && again.errors.contains("session"), "\(again.errors)")
                other.signal(SIGTERM)
            }
        }

        /// A gateway that the user has started serves the port too, and stays.
        @Test func theUsersOwnGateway() throws {
            try with { site in
                let gateway = try site.server.start([site.usl, "gateway", "--allow", "localhost:22"])
                try site.server.waitForListener(port: UnderTest.gatewayPort)
                let server = try site.offered([], Self.echo(), port: 7002)
                #expect(server.standardError.contains("this user's gateway"))
                let client = try site.client.run(
                    [site.usl, "-v", "--"] + Peers.client("s = connect(7002)\nexactly(s, 10)\npingpong(s, 5)"))
                #expect(client.status == .success && client.errors.contains("session"), "\(client.errors)")
                // Known by its key, it says itself what it has nothing to do with.
                let pinned = ["trust", "add", "\(site.server.address)", try site.key]
                try site.client.succeed([site.usl] + pinned)
                let elsewhere = try site.server.start(Self.echo(port: 7009))
                try site.server.waitForListener(port: 7009)
                let address = site.server.address
                let ordinary = try site.client.run(
                    [site.usl, "--"] + Peers.client("s = connect(7009, '\(address)')\nexactly(s, 10)\npingpong(s, 5)"))
                #expect(ordinary.status == .success, "\(ordinary.errors)")
                #expect(ordinary.errors.contains("has nothing to do with this destination"), "\(ordinary.errors)")
                elsewhere.signal(SIGTERM)
                server.signal(SIGTERM)
                _ = try server.wait(.seconds(10))
                let other = try site.client.run([site.usl, "--"] + Peers.client("connect(7002)"), within: .seconds(5))
                #expect(other.errors.contains("ConnectionRefusedError"), "\(other.errors)")
                #expect(gateway.ended == nil)
                #expect(try site.gateways() == 0)
            }
        }

        /// The port of gateways is somebody else's: one line, and everything else as ever.
        @Test func thePortIsTaken() throws {
            try with { site in
                let stranger = try site.server.start(["ncat", "-l", "-k", "7117"])
                try site.server.waitForListener(port: UnderTest.gatewayPort)
                let server = try site.serve([], Self.echo(), port: 7002)
                try server.waitForLine("no gateway serves port 7002")
                #expect(server.standardError.contains("7117"), "\(server.standardError)")
                let client = try site.client.run(
                    [site.usl, "--"] + Peers.client("s = connect(7002)\nexactly(s, 10)\npingpong(s, 5)"))
                #expect(client.status == .success, "\(client.errors)")
                stranger.signal(SIGTERM)
            }
        }

        /// What is private stays so, and who does not want to offer anything does not.
        @Test(arguments: ["loopback", "--no-offer", "--treatment=direct"]) func nothingIsOffered(why: String) throws {
            try with { site in
                let options = why == "loopback" ? [] : [why]
                let host = why == "loopback" ? "127.0.0.1" : "0.0.0.0"
                let server = try site.serve(options, Self.echo(family: "AF_INET", host: host), port: 7002)
                try server.waitForOutput("serving")
                #expect(!server.standardError.contains("7002"), "\(server.standardError)")
                #expect(!site.server.isListening(port: UnderTest.gatewayPort))
                #expect(try site.gateways() == 0)
            }
        }
    }
}
