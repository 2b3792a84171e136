import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Agents and gateways that are killed: others take over, and nothing is lost, doubled or reordered.
    @Suite struct CrashTests {
        enum Victim: String, CaseIterable, CustomTestStringConvertible {
            case agent, gateway, both
            var testDescription: String { rawValue }
        }

        /// Kills at random instants, for as long as `goesOn` says; the first one at once.
        private static func kill(
            _ victim: Victim, in test: UnderTest, while goesOn: () throws -> Bool
        ) throws -> Int {
            var kills = 0
            repeat {
                if victim != .gateway { try? test.client.killProcesses(called: "usl-agent") }
                if victim != .agent { try? test.server.killProcesses(called: "usl", exceptFirst: true) }
                kills += 1
                usleep(UInt32.random(in: 0..<1_500_000))
            } while try goesOn()
            return kills
        }

        /// Bulk both ways, compared by their digests, until a file appears; then each end closes its direction.
        static let bulk = """
            s = connect(7007)
            sent, got, total, longest = hashlib.sha256(), hashlib.sha256(), 0, 0
            def send():
                while not os.path.exists('/run/stop'):
                    piece = os.urandom(65536)
                    s.sendall(piece)
                    sent.update(piece)
                s.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send)
            sender.start()
            say('talking')
            last = time.monotonic()
            while piece := s.recv(1 << 18):
                got.update(piece)
                total += len(piece)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            sender.join()
            assert sent.digest() == got.digest(), f'other bytes, of {total}'
            say(total, 'verified; longest pause', round(longest * 1000), 'ms')
            """

        @Test(arguments: Victim.allCases) func bulkBothWays(victim: Victim) throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let gateway = try test.startGateway()
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(Self.bulk))
                try client.waitForOutput("talking")
                let end = ContinuousClock.now + .seconds(7)
                let kills = try Self.kill(victim, in: test) { .now < end && client.ended == nil }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(30))
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
                #expect(client.standardError == "", "-q is quiet")
                #expect(kills >= 5 && gateway.ended == nil)
            }
        }

        /// What a half-closed session still has to say comes whole.
        @Test(arguments: Victim.allCases) func halfClosed(victim: Victim) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let script = """
                    ends = connect(7003), connect(7004)
                    ends[0].sendall(b'question')
                    ends[0].shutdown(socket.SHUT_WR)
                    first = exactly(ends[1], 1 << 19)
                    say('talking')
                    eventually(lambda: os.path.exists('/run/go'), 30)
                    data, how = rest(ends[0])
                    assert (data, how) == (MEBIBYTE, 'EOF'), (len(data), how)
                    data, how = rest(ends[1])
                    assert (first + data, how) == (MEBIBYTE, 'EOF'), (len(data), how)
                    ends[1].sendall(b'answer')
                    ends[1].close()
                    say('verified')
                    """
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(script))
                try client.waitForOutput("talking")
                let end = ContinuousClock.now + .seconds(2)
                _ = try Self.kill(victim, in: test) { .now < end }
                try test.client.succeed(["touch", "/run/go"])
                try client.waitForOutput("verified", within: .seconds(20))
                try server.waitForOutput("7004 6 ")
                #expect(server.standardOutput.contains("7003 8 "))
                #expect(!server.standardOutput.contains("ECONNRESET"), "\(server.standardOutput)")
            }
        }

        /// A reset that comes while nobody is there to see it is still a reset.
        @Test(arguments: Victim.allCases) func aResetMeanwhile(victim: Victim) throws {
            try UnderTest.withoutGateway { test in
                let server = try test.servePeers()
                _ = try test.startGateway()
                let script = """
                    s = connect(7006)
                    exactly(s, 1)
                    s.sendall(b'before')
                    say('talking')
                    eventually(lambda: os.path.exists('/run/go'))
                    reset(s)
                    say('reset')
                    time.sleep(1)
                    """
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(script))
                try client.waitForOutput("talking")
                // The agent cannot see it, and is killed before it could.
                try test.client.signalProcesses(called: "usl-agent", SIGSTOP)
                try test.client.succeed(["touch", "/run/go"])
                try client.waitForOutput("reset")
                if victim != .agent { try test.server.killProcesses(called: "usl", exceptFirst: true) }
                try test.client.killProcesses(called: "usl-agent")
                try server.waitForOutput("7006 6 ")
                #expect(server.standardOutput.hasSuffix("ECONNRESET\n"), "\(server.standardOutput)")
            }
        }

        /// Programs that connect meanwhile wait, and find the server as always.
        @Test(arguments: Victim.allCases) func connecting(victim: Victim) throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                let script = """
                    count = 0
                    say('talking')
                    while not os.path.exists('/run/stop'):
                        s = connect(7002)
                        assert exactly(s, 10) == b'220 ready\\n'
                        pingpong(s, 3)
                        s.close()
                        count += 1
                    say(count, 'verified')
                    """
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(script))
                try client.waitForOutput("talking")
                let end = ContinuousClock.now + .seconds(8)
                _ = try Self.kill(victim, in: test) { .now < end && client.ended == nil }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(20))
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
            }
        }

        /// The last bytes of a program that has ended are delivered by the next agent.
        @Test func lastBytes() throws {
            try UnderTest.withoutGateway { test in
                try test.boundServerBuffers()
                let server = try test.servePeers()
                _ = try test.startGateway()
                let client = try test.client.start(test.prefix + Peers.client(Peers.hasty))
                try client.waitForOutput("usl: waiting for ")
                try test.client.killProcesses(called: "usl-agent")
                try test.server.killProcesses(called: "usl", exceptFirst: true)
                try client.waitForOutput("usl: the agent was killed by signal 9; another takes over")
                try test.server.succeed(["touch", "/run/go"])
                let status = try client.wait(.seconds(10))
                #expect(status == .exited(7))
                try server.waitForOutput("7008 1048576 ")
                #expect(server.standardOutput.hasSuffix("EOF\n"))
            }
        }

        @Test func theStatusIsThereAgain() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(Peers.conversation))
                try client.waitForOutput("talking")
                try test.client.killProcesses(called: "usl-agent")
                try test.client.expectSessions(
                    "[(s['role'], s['program'][:6]) for s in sessions] == [('agent', 'python')]")
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified")
            }
        }
    }
}
