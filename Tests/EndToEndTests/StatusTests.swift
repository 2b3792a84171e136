import NetworkLab
import Testing

extension EndToEnd {
    /// `usl status --json` in every state that a session can be in, at both ends.
    @Suite struct StatusTests {
        @Test func everyState() throws {
            try UnderTest.with(.usl) { test in
                let (client, server) = (test.client, test.server)
                let peers = try test.servePeers()
                let usl = try UnderTest.usl()
                for host in [client, server] { try host.expectSessions("sessions == []") }

                // Active: every field, and its type.
                let talker = try client.start(
                    test.prefix + Peers.client("s = connect(7008)\nexactly(s, 1)\ns.sendall(b'12345')\nsignal.pause()"))
                try client.expectSessions("[s['state'] for s in sessions] == ['active']")
                try client.succeed(
                    Peers.client(
                        """
                        import re
                        [s] = json.loads(subprocess.run([sys.argv[1], 'status', '--json'], capture_output=True).stdout)['sessions']
                        assert re.fullmatch('[0-9a-f]{32}', s['id']), s
                        assert s['role'] == 'agent' and s['program'].startswith('python3'), s
                        assert s['peer'] == sys.argv[2] + ':7117' and s['destination'].endswith(':7008'), s
                        assert s['reason'] is None and s['reconnects'] == 0, s
                        assert re.fullmatch(r'\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ', s['since']), s
                        assert s['bytes'] == {'sent': 5, 'received': 1}, s
                        assert set(s['replay']) == {'bytes', 'limit'} and s['replay']['limit'] > 0, s
                        [link] = s['links']
                        assert link['remote'] == s['peer'] and link['state'] == 'current', s
                        assert link['transport'] == 'tcp' and type(link['rtt_ms']) in (float, type(None)), s
                        """, [usl, server.address]))
                try server.expectSessions(
                    "[(s['role'], s['state'], s['program']) for s in sessions] == [('gateway', 'active', None)]")
                let table = try client.succeed([usl, "status"])
                #expect(table.hasPrefix("ID ") && table.contains("active"), "\(table)")

                // Suspended, with a reason, and active again.
                try test.lab.router.block(port: UnderTest.gatewayPort)
                for host in [client, server] { try host.resetLinks() }
                try client.expectSessions("[s['state'] for s in sessions] == ['suspended'] and sessions[0]['reason']")
                try server.expectSessions("[s['state'] for s in sessions] == ['suspended'] and sessions[0]['reason']")
                try test.lab.router.unblock()
                try client.expectSessions("[(s['state'], s['reconnects']) for s in sessions] == [('active', 1)]")
                try server.expectSessions("[s['state'] for s in sessions] == ['active']")

                // Closing: the program has gone, and what it wrote is not read yet.
                try test.server.succeed(["touch", "/run/go"])
                talker.terminate()
                try client.expectSessions("sessions == []")
                try server.expectSessions("sessions == []")
                try waitUntil("end of agent and keeper", within: .seconds(5)) { () throws(LabError) in
                    try client.succeed(["ls", "/run/usl"]) == ""
                }
                peers.terminate()
            }
        }

        /// Seconds without any way to the gateway cost nothing but time.
        @Test func aStreamOutlivesALongBreak() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                let talker = try test.client.start(test.prefix + Peers.client(Peers.conversation))
                try test.client.expectSessions("sessions and sessions[0]['bytes']['received'] > 1000")
                try test.lab.router.block(port: UnderTest.gatewayPort)
                try test.client.resetLinks()
                let threeSeconds = "time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 3))"
                try test.client.expectSessions(
                    "sessions[0]['state'] == 'suspended' and sessions[0]['since'] <= \(threeSeconds)")
                #expect(talker.ended == nil)
                try test.lab.router.unblock()
                try test.client.expectSessions("sessions[0]['state'] == 'active'")
                try test.client.succeed(["touch", "/run/stop"])
                let status = try talker.wait(.seconds(10))
                #expect(status == .success, "\(talker.standardError)")
                peers.terminate()
            }
        }

        /// Opening: the target does not answer.
        @Test func aSessionIsOpening() throws {
            try UnderTest.with(.usl) { test in
                try test.server.block(incoming: 7009)
                let waiting = try test.client.start(test.prefix + Peers.client("connect(7009)"))
                try test.client.expectSessions("[s['state'] for s in sessions] == ['opening']")
                waiting.terminate()
            }
        }

        /// Both applications have ended their direction, and the last bytes are not read yet.
        @Test func aSessionIsClosing() throws {
            try UnderTest.with(.usl) { test in
                // More than the server's kernel holds, and no more than a replay buffer.
                try test.server.succeed(["sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 65536"])
                let peers = try test.servePeers()
                let client = try test.client.start(
                    test.prefix + Peers.client("s = connect(7008)\nexactly(s, 1)\ns.sendall(MEBIBYTE[:450_000])"))
                try test.client.expectSessions("[s['state'] for s in sessions] == ['closing']")
                try test.server.succeed(["touch", "/run/go"])
                let status = try client.wait(.seconds(10))
                #expect(status == .success)
                peers.terminate()
            }
        }

        /// Nothing runs, and what a killed process has left is removed.
        @Test func whatIsDeadIsNotShown() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let client = lab["client"]
                let usl = try UnderTest.usl()
                #expect(try client.succeed([usl, "status"]) == "")
                #expect(try client.succeed([usl, "status", "--json"]) == "{\"sessions\":[],\"gateways\":[]}\n")
                let gateway = try client.start([usl, "gateway", "--listen", "localhost", "--allow", "localhost:22"])
                try client.waitForListener(port: UnderTest.gatewayPort)
                gateway.killGroup()
                #expect(try client.succeed(["ls", "/run/usl"]).hasPrefix("gateway-"))
                try waitUntil("silence of the dead", within: .seconds(5)) { () throws(LabError) in
                    let outcome = try client.run([usl, "status", "--json"])
                    return outcome.output == "{\"sessions\":[],\"gateways\":[]}\n" && outcome.errors == ""
                }
                #expect(try client.succeed(["ls", "/run/usl"]) == "")
            }
        }
    }
}
