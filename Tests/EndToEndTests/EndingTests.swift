import NetworkLab
import Testing

extension EndToEnd {
    /// What ends a connection at one end ends it in the same way at the other: bare, under USL, and while links break.
    @Suite struct EndingTests {
        /// Often enough to meet links in every state.
        private static let attack = Attack.Kind.socketKill(
            host: "server", port: UnderTest.gatewayPort, every: .milliseconds(10))

        @Test(arguments: Mode.allCases)
        func everyWayToEndAConnection(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(500), attack: Self.attack) { test in
                let server = try test.servePeers()
                // Half-close in either order, with a mebibyte behind it in the other direction.
                try test.check(
                    """
                    s = connect(7003)
                    s.sendall(MEBIBYTE)
                    s.shutdown(socket.SHUT_WR)
                    assert rest(s) == (MEBIBYTE, 'EOF')
                    s = connect(7004)
                    assert rest(s) == (MEBIBYTE, 'EOF')
                    s.sendall(MEBIBYTE)
                    s.close()
                    """)
                try server.waitForOutput("7003 1048576")
                try server.waitForOutput("7004 1048576")

                // Resets in either direction, behind the bytes before them.
                try test.check(
                    """
                    s = connect(7005)
                    s.sendall(b'!')
                    assert (found := rest(s)) == (b'bytes before', 'ECONNRESET'), found
                    s = connect(7006)
                    exactly(s, 1)
                    s.sendall(b'12345')
                    # A reset overtakes bytes that have not left, with plain TCP too.
                    eventually(lambda: all_sent(s))
                    reset(s)
                    """)
                try server.waitForOutput("7006 5 ")
                #expect(server.standardOutput.contains("ECONNRESET"))

                // An end at once, and a server that speaks first.
                try test.check(
                    """
                    assert rest(connect(7001)) == (b'', 'EOF')
                    s = connect(7001)
                    try:
                        while True: s.send(MEBIBYTE[:4096])
                    except OSError as error:
                        assert error.errno in (errno.ECONNRESET, errno.EPIPE), error
                    s = connect(7002)
                    assert exactly(s, 10) == b'220 ready\\n'
                    pingpong(s, 20)
                    s.shutdown(socket.SHUT_WR)
                    assert rest(s) == (b'', 'EOF')
                    """)
                server.terminate()
            }
        }

        /// A program that is killed closes its connections: in order, or with a reset where it left bytes unread.
        @Test(arguments: [Mode.bare, .usl])
        func aProgramIsKilled(mode: Mode) throws {
            try UnderTest.with(mode) { test in
                let server = try test.servePeers()
                let script = """
                    s = connect(int(sys.argv[1]))
                    exactly(s, 1) if sys.argv[2] == 'read' else select.select([s], [], [])
                    s.sendall(b'123456')
                    eventually(lambda: all_sent(s))
                    os.kill(os.getpid(), signal.SIGKILL)
                    """
                for (what, how) in [("read", "EOF"), ("unread", "ECONNRESET")] {
                    let before = server.standardOutput.count
                    let outcome = try test.client.run(test.prefix + Peers.client(script, ["7006", what]))
                    #expect(outcome.status == .signaled(9), "\(outcome.errors)")
                    try server.waitForOutput(how)
                    let said = server.standardOutput.dropFirst(before)
                    #expect(said.hasPrefix("7006 6 ") && said.hasSuffix(" \(how)\n"), "\(what): \(said)")
                }
                server.terminate()
            }
        }

        /// Resets hit links while sessions open and close, too; each of these is verified.
        @Test func manyShortConnectionsUnderAttack() throws {
            try UnderTest.with(.attacked, attack: Self.attack) { test in
                let server = try test.servePeers()
                try test.check(
                    """
                    failures = []
                    def talk(first):
                        for number in range(first, 500, 10):
                            try:
                                s = connect(7002)
                                assert exactly(s, 10) == b'220 ready\\n'
                                data = random.Random(number).randbytes(number * 40)
                                s.sendall(data)
                                s.shutdown(socket.SHUT_WR)
                                assert rest(s) == (data, 'EOF')
                            except Exception as error: failures.append((number, repr(error)))
                    threads = [threading.Thread(target=talk, args=(first,)) for first in range(10)]
                    for thread in threads: thread.start()
                    for thread in threads: thread.join()
                    assert not failures, failures
                    """, within: .seconds(60))
                server.terminate()
            }
        }
    }
}
