import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Programs that wait for a verdict when their agent is killed: they wait on, and get what they would have got.
    @Suite struct WaitingTests {
        /// Connections that wait at held addresses, since nothing is heard of the gateway: a blocking one, and others that
        /// epoll has been told of.
        private static let waiting = """
            def talk(s):
                assert exactly(s, 10) == b'220 ready\\n'
                pingpong(s, 20)
                assert s.getpeername()[1] == 7002, s.getpeername()
                s.close()
            def block():
                s = connect(7002)
                talk(s)
                verified.append('blocking')
            verified = []
            blocking = threading.Thread(target=block)
            blocking.start()
            poll, waiting = select.epoll(), {}
            for family, host in ((socket.AF_INET, '10.77.2.2'), (socket.AF_INET6, 'fd77:2::2'),
                                 (socket.AF_INET6, '::ffff:10.77.2.2')) * 3:
                s = socket.socket(family)
                s.setblocking(False)
                poll.register(s, select.EPOLLOUT)
                assert s.connect_ex((host, 7002)) == errno.EINPROGRESS
                waiting[s.fileno()] = s
            poll.poll(0)
            assert not poll.poll(0.2), 'not held'
            say('waiting')
            while waiting:
                for number, events in poll.poll(20) or [(None, 0)]:
                    assert number, f'{len(waiting)} wait in vain'
                    s = waiting.pop(number)
                    poll.unregister(s)
                    code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    assert code == 0, errno.errorcode[code]
                    s.setblocking(True)
                    talk(s)
            blocking.join()
            assert verified == ['blocking']
            say('verified')
            """

        @Test(arguments: ["tcp", "mptcp"]) func theyWaitOn(transport: String) throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                try test.server.block(incoming: UnderTest.gatewayPort)
                let client = try test.client.start(
                    test.prefix(["-q", "--transport", transport]) + Peers.client(Self.waiting))
                try client.waitForOutput("waiting")
                for _ in 0..<3 { try test.killAgent() }
                #expect(client.ended == nil, "\(client.standardError)")
                try test.server.unblock()
                try client.waitForOutput("verified", within: .seconds(20))
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
            }
        }

        /// Killed at the very moment when they are let through.
        @Test func letThroughMeanwhile() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                for _ in 0..<6 {
                    try test.server.block(incoming: UnderTest.gatewayPort)
                    let client = try test.client.start(test.prefix(["-q"]) + Peers.client(Self.waiting))
                    try client.waitForOutput("waiting")
                    try test.server.unblock()
                    // A link is made within a quarter of a second.
                    usleep(UInt32.random(in: 0..<250_000))
                    try test.killAgent()
                    try client.waitForOutput("verified", within: .seconds(20))
                    let status = try client.wait(.seconds(10))
                    #expect(status == .success, "\(client.standardError)")
                }
            }
        }

        /// A target that refuses is refused by the next agent.
        @Test func refusedByTheNext() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.startGateway()
                try test.server.block(incoming: UnderTest.gatewayPort)
                let script = """
                    s = socket.socket()
                    s.setblocking(False)
                    assert s.connect_ex(('10.77.2.2', 7099)) == errno.EINPROGRESS
                    say('waiting')
                    poll = select.poll()
                    poll.register(s, select.POLLOUT)
                    assert poll.poll(20000)
                    code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    assert code == errno.ECONNREFUSED, errno.errorcode[code]
                    say('verified')
                    """
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(script))
                try client.waitForOutput("waiting")
                try test.killAgent()
                try test.server.unblock()
                try client.waitForOutput("verified", within: .seconds(20))
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
            }
        }

        /// A connection that `usl forward` has accepted, and has no session for yet.
        @Test func forwarded() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                _ = try test.startGateway()
                try test.server.block(incoming: UnderTest.gatewayPort)
                let forward = try test.client.start([
                    try UnderTest.usl(), "forward", "--plain", "--gateway", "10.77.2.2", "localhost:7003",
                    "10.77.2.2:7003",
                ])
                try test.client.waitForListener(port: 7003)
                let script = """
                    s = connect(7003, 'localhost')
                    s.sendall(MEBIBYTE)
                    s.shutdown(socket.SHUT_WR)
                    say('waiting')
                    assert rest(s) == (MEBIBYTE, 'EOF')
                    say('verified')
                    """
                let client = try test.client.start(Peers.client(script))
                try client.waitForOutput("waiting")
                for _ in 0..<2 { try test.killAgent(exceptFirst: true) }
                try test.server.unblock()
                try client.waitForOutput("verified", within: .seconds(20))
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
                #expect(forward.ended == nil)
            }
        }
    }
}

extension UnderTest {
    /// Kills the agent that there is, and waits for the one that takes its place.
    fileprivate func killAgent(exceptFirst: Bool = false) throws {
        let name = exceptFirst ? "usl" : "usl-agent"
        try client.killProcesses(called: name, exceptFirst: exceptFirst)
        let status = [try UnderTest.usl(), "status"]
        try waitUntil("another agent answers", within: .seconds(5)) { () throws(LabError) in
            try client.run(status, within: .seconds(5)).status == .success
        }
    }
}
