import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Links that leave the host: TLS unless both ends say otherwise, each end known by its key.
    @Suite struct TLSLinkTests {
        /// Each end keeps its state in its own `/run`.
        private struct Site {
            let test: UnderTest
            let usl: String
            let gateway: LabProcess

            init(_ test: UnderTest, _ options: [String] = []) throws {
                self.test = test
                usl = try UnderTest.usl()
                gateway = try test.server.start(
                    [usl, "gateway", "--allow", "*:1-65535", "--state", "/run/state"] + options)
                try test.server.waitForListener(port: UnderTest.gatewayPort)
            }

            func client(_ options: [String] = []) -> [String] {
                [usl, "--gateway", test.server.address, "--state", "/run/state"] + options + ["--"]
            }

            func key(of host: Host) throws -> String {
                String(try host.succeed([usl, "identity", "--state", "/run/state"]).prefix { $0 != " " })
            }

        }

        private static let talk = """
            s = connect(7002)
            exactly(s, 10)
            pingpong(s, 20)
            say('verified')
            """

        @Test func linksAreTLSUnlessSaidOtherwise() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let site = try Site(test)
                let attack = try test.lab.attack(
                    .socketKill(host: "server", port: UnderTest.gatewayPort, every: .milliseconds(200)))
                let client = try test.client.start(site.client() + Peers.client(Peers.conversation))
                try client.waitForOutput("talking")
                try waitUntil("ten resets", within: .seconds(20)) { attack.kills >= 10 }
                attack.stop()
                // The last reset may be under way.
                for host in [test.client, test.server] {
                    try host.expectSessions(
                        "[s['state'] for s in sessions] == ['active'] and {l['security'] for l in sessions[0]['links']} == {'tls'}"
                    )
                }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified")
                let key = try site.key(of: test.server)
                try client.waitForLine("its key, \(key), is known from now on")
                try site.gateway.waitForOutput(key)
                let pins = try test.client.succeed([site.usl, "trust", "list", "--state", "/run/state"])
                #expect(pins.contains(key) && pins.contains("\(test.server.address):7117"), "\(pins)")
            }
        }

        @Test func aChangedKeyIsRefused() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let site = try Site(test)
                let trust = [site.usl, "trust", "add", test.server.address]
                let other = try test.client.succeed([site.usl, "identity", "--state", "/run/other"]).prefix {
                    $0 != " "
                }
                try test.client.succeed(trust + [String(other), "--state", "/run/state"])
                let refused = try test.client.run(
                    site.client() + Peers.client("connect(7002)"), within: .seconds(10))
                let key = try site.key(of: test.server)
                #expect(refused.status == .exited(1) && refused.errors.contains("ConnectionRefusedError"))
                #expect(refused.errors.contains("known is \(other), it shows \(key)"), "\(refused.errors)")
                let way = "usl trust add \(test.server.address):7117 \(key)"
                #expect(refused.errors.contains(way), "\(refused.errors)")
                // What it tells to do helps.
                try test.client.succeed(
                    [site.usl] + way.split(separator: " ").dropFirst().map(String.init) + ["--state", "/run/state"])
                let accepted = try test.client.run(site.client() + Peers.client(Self.talk), within: .seconds(10))
                #expect(accepted.status == .success, "\(accepted.errors)")
            }
        }

        @Test func aGivenKeyIsTheOnlyOne() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let site = try Site(test)
                let key = try site.key(of: test.server)
                let right = try test.client.run(
                    site.client(["--pin", key]) + Peers.client(Self.talk), within: .seconds(10))
                #expect(right.status == .success && right.errors == "", "\(right.errors)")
                let own = try site.key(of: test.client)
                let wrong = try test.client.run(
                    site.client(["-q", "--pin", own]) + Peers.client("connect(7002)"), within: .seconds(10))
                #expect(wrong.status == .exited(1) && wrong.errors.contains("not that of --pin"), "\(wrong.errors)")
                let pins = try test.client.succeed([site.usl, "trust", "list", "--state", "/run/state"])
                #expect(!pins.contains(key), "nothing is remembered: \(pins)")
            }
        }

        /// An end that is plain and one that is not tell each other so; neither gives in.
        @Test(arguments: [true, false]) func plainAndTLS(isGatewayPlain: Bool) throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let site = try Site(test, isGatewayPlain ? ["--plain"] : [])
                let options = isGatewayPlain ? [] : ["--plain"]
                let client = try test.client.start(
                    site.client(options) + ["timeout", "3"] + Peers.client("connect(7002)"))
                let says = isGatewayPlain ? "speaks plain links, and this end TLS" : "this gateway speaks TLS"
                try waitUntil("the client says why", within: .seconds(10)) { client.standardError.contains(says) }
                _ = try client.wait(.seconds(10))
                #expect(client.standardError.contains("give --plain at both ends or at neither"))
                let log =
                    isGatewayPlain ? "speaks TLS, and this gateway plain" : "speaks plain links, and this gateway TLS"
                try site.gateway.waitForOutput(log)
            }
        }

        /// Clients are served whose keys are in the file, as it is at that moment.
        @Test func onlyKeysThatAreListed() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                try test.server.succeed(["touch", "/run/authorized"])
                let site = try Site(test, ["--authorized", "/run/authorized"])
                let own = try site.key(of: test.client)
                let refused = try test.client.start(
                    site.client() + ["timeout", "3"] + Peers.client("connect(7002)"))
                try refused.waitForLine("does not admit the key of this end")
                try site.gateway.waitForLine("its key, \(own), is not in the file of --authorized")
                _ = try refused.wait(.seconds(10))
                try test.server.succeed(["tee", "/run/authorized"], input: .bytes(Array("\(own) Ann's laptop\n".utf8)))
                let admitted = try test.client.start(site.client() + Peers.client(Peers.conversation))
                try admitted.waitForOutput("talking")
                for command in [["status", "--json"], ["status"]] {
                    let name = command.count == 2 ? "\"client\":\"Ann's laptop\"" : "(Ann's laptop)"
                    try waitUntil("the gateway's status names the client", within: .seconds(5)) {
                        () throws(LabError) in
                        try test.server.succeed([site.usl] + command).contains(name)
                    }
                }
                try test.client.succeed(["touch", "/run/stop"])
                try admitted.waitForOutput("verified")
                // On loopback there is no key to be shown.
                let local = try test.server.run(
                    [site.usl, "--gateway", "127.0.0.1", "timeout", "3"] + Peers.client("connect(7002, '127.0.0.1')"),
                    within: .seconds(10))
                #expect(local.errors.contains("serves keys that it knows"), "\(local.errors)")
            }
        }

        /// A gateway is found, and its links are as safe as those to one that was named.
        @Test func aGatewayThatIsFound() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let site = try Site(test)
                let client = try test.client.run(
                    [site.usl, "--state", "/run/state", "-v", "--"] + Peers.client(Self.talk), within: .seconds(10))
                #expect(client.status == .success, "\(client.errors)")
                let key = try site.key(of: test.server)
                #expect(client.errors.contains("its key, \(key), is known from now on"), "\(client.errors)")
            }
        }

        /// Where a gateway was found before, nothing is connected without it until the user says so.
        @Test func aGatewayThatWasFoundAndIsGone() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let site = try Site(test)
                let usl = [site.usl, "--state", "/run/state"]
                let first = try test.client.run(usl + Peers.client(Self.talk), within: .seconds(10))
                #expect(first.status == .success, "\(first.errors)")
                site.gateway.signal(SIGTERM)
                #expect(try site.gateway.wait(.seconds(10)) == .success)
                let without = try test.client.start(usl + ["timeout", "3"] + Peers.client("connect(7002)"))
                let way = "usl trust remove [\(test.server.address6)]:7117"
                try without.waitForOutput(way)
                #expect(try without.wait(.seconds(10)) != .success)
                // What it tells to do helps.
                try test.client.succeed(
                    [site.usl] + way.split(separator: " ").dropFirst().map(String.init) + ["--state", "/run/state"])
                let direct = try test.client.run(usl + Peers.client(Self.talk), within: .seconds(10))
                #expect(direct.status == .success, "\(direct.errors)")
            }
        }
    }
}
