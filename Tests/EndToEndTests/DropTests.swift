import NetworkLab
import Testing

extension EndToEnd {
    /// `usl drop`, `usl status ID` and `usl status --watch`.
    @Suite struct DropTests {
        /// Both applications see a reset and both ends say why, whichever end gives the session up.
        @Test(arguments: [true, false])
        func aSessionIsGivenUp(atClient: Bool) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Peers.tellingServer))
                try server.waitForOutput("serving")
                let gateway = try test.startGateway()
                let client = try test.client.start(test.prefix + Peers.client(SuspensionTests.endures))
                try client.waitForOutput("talking")
                let host = atClient ? test.client : test.server
                let usl = try UnderTest.usl()
                let id = String(try host.succeed([usl, "status", "--json"]).split(separator: "\"")[5])
                for (wrong, text) in [
                    ("0" + id, "identifier of a session"), ("xyz", "identifier of a session"),
                    (String(id.prefix(31)) + (id.hasSuffix("0") ? "1" : "0"), "there is no session"),
                ] {
                    let outcome = try host.run([usl, "drop", wrong])
                    #expect(outcome.status == .exited(125) && outcome.errors.contains(text), "\(outcome.errors)")
                }
                #expect(try host.succeed([usl, "drop", String(id.prefix(6))]) == "dropped \(id)\n")
                try client.waitForOutput("ended ECONNRESET", within: .seconds(5))
                try server.waitForOutput("ended ECONNRESET", within: .seconds(5))
                try waitUntil("words at both ends", within: .seconds(3)) { () throws(LabError) in
                    client.standardError.contains("is reset\n") && gateway.standardError.contains("is reset\n")
                }
                let (here, there) =
                    atClient
                    ? (client.standardError, gateway.standardError) : (gateway.standardError, client.standardError)
                #expect(here.contains("given up by hand (usl drop)"), "\(here)")
                #expect(there.contains("given up by hand at the "), "\(there)")
                for host in [test.client, test.server] { try host.expectSessions("sessions == []") }
                server.terminate()
            }
        }

        /// Without a link, its own application is reset at once, and the other end told as soon as it can be.
        @Test func aSuspendedSessionIsGivenUp() throws {
            try UnderTest.withoutGateway { test in
                let server = try test.server.start(Peers.client(Peers.tellingServer))
                try server.waitForOutput("serving")
                let gateway = try test.startGateway()
                let client = try test.client.start(
                    test.prefix + Peers.client(SuspensionTests.endures + "\nsignal.pause()"))
                try client.waitForOutput("talking")
                try test.lab.router.block(port: UnderTest.gatewayPort)
                for host in [test.client, test.server] { try host.resetLinks() }
                try test.client.expectSessions("[s['state'] for s in sessions] == ['suspended']")
                let usl = try UnderTest.usl()
                let id = String(try test.client.succeed([usl, "status", "--json"]).split(separator: "\"")[5])
                try test.client.succeed([usl, "drop", id])
                try client.waitForOutput("ended ECONNRESET", within: .seconds(5))
                try client.waitForLine("given up by hand (usl drop); the connection is reset")
                #expect(server.standardOutput == "serving\n")
                try test.lab.router.unblock()
                try server.waitForOutput("ended ECONNRESET", within: .seconds(10))
                try gateway.waitForLine("given up by hand at the agent (usl drop)")
                for host in [test.client, test.server] { try host.expectSessions("sessions == []") }
                client.terminate()
                server.terminate()
            }
        }

        /// One session in full, with what has happened to it lately.
        @Test func history() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                let talker = try test.client.start(test.prefix + Peers.client(Peers.conversation))
                try talker.waitForOutput("talking")
                try test.server.resetLinks()
                for host in [test.client, test.server] {
                    try host.expectSessions("sessions and sessions[0]['reconnects'] == 1")
                    try host.succeed(
                        Peers.client(
                            """
                            def ask(*words): return subprocess.run([sys.argv[1], *words], check=True, capture_output=True, text=True).stdout
                            [s] = json.loads(ask('status', '--json'))['sessions']
                            assert 'history' not in s, s
                            [s] = json.loads(ask('status', s['id'][:8], '--json'))['sessions']
                            events = s['history']
                            assert [e['event'] for e in events] == ['opened', 'link-lost', 'resumed'], events
                            assert events[1]['reason'] == 'link-error' and events[1]['error'], events
                            assert events[2]['after_ms'] < 2000 and events[0]['at'] < events[1]['at'] <= events[2]['at'], events
                            text = ask('status', s['id'])
                            for word in (s['id'], 'current', 'link-lost', 'resumed'): assert word in text, text
                            """, [try UnderTest.usl()]))
                }
                try test.client.succeed(["touch", "/run/stop"])
                let status = try talker.wait(.seconds(10))
                #expect(status == .success)
                peers.terminate()
            }
        }

        /// A watched status is printed when it changes, and ends when nobody reads it any more.
        @Test func watching() throws {
            try UnderTest.with(.usl) { test in
                let peers = try test.servePeers()
                try test.client.succeed(
                    test.prefix
                        + Peers.client(
                            """
                            s = connect(7002)
                            exactly(s, 10)
                            watch = subprocess.Popen([sys.argv[1], 'status', '--watch', '--json'], stdout=subprocess.PIPE)
                            def shown(): return json.loads(watch.stdout.readline())['sessions']
                            assert [x['state'] for x in shown()] == ['active']
                            # Acknowledgements and round trips settle; then nothing is printed any more.
                            def quiet(): return not select.select([watch.stdout], [], [], 2.5)[0] or not shown()
                            eventually(quiet, 20)
                            pingpong(s, 1)
                            found = shown()
                            assert [x['bytes']['sent'] for x in found] == [64], found
                            watch.stdout.close()
                            watch.wait(5)
                            """, [try UnderTest.usl()]))
                peers.terminate()
            }
        }
    }
}
