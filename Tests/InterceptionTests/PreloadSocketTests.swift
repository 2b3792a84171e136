import CLinux
import Testing

@testable import Interception

/// socket(2) in real programs under the preload library.
@Suite struct PreloadSocketTests {
    private static let kinds = """
        def protocol(*words):
            s = socket.socket(*words)
            return s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), s.getblocking(), s.get_inheritable()
        say(protocol(socket.AF_INET, socket.SOCK_STREAM))
        say(protocol(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP))
        say(protocol(socket.AF_INET, socket.SOCK_DGRAM))
        say(protocol(socket.AF_UNIX, socket.SOCK_STREAM))
        """

    @Test func socketsOfTCPBecomeMultipath() throws {
        let agent = try FakeAgent()
        for (transport, number) in [("mptcp", IPPROTO_MPTCP), ("", IPPROTO_TCP), (nil, IPPROTO_TCP)] {
            let lines = try Program.python(
                Self.kinds, to: Kind.v4.destination, agent: agent.path, transport: transport
            ).finish()
            let tcp = "\(number)"
            #expect(
                lines == [
                    "(\(tcp), True, False)", "(\(tcp), False, False)", "(\(IPPROTO_UDP), True, False)",
                    "(0, True, False)",
                ])
        }
    }

    @Test(arguments: Kind.allCases) func suchASocketHasALeg(kind: Kind) throws {
        let agent = try FakeAgent()
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.connect(target)
            say(s.recv(5).decode())
            s.sendall(b'back')
            s.close()
            """, to: kind.destination, agent: agent.path, transport: "mptcp")
        let opened = try agent.openLeg()
        try write("hello", to: opened.leg.descriptor)
        #expect(try program.line() == "hello")
        var bytes = [UInt8](repeating: 0, count: 8)
        try wait(opened.leg.descriptor.number, for: POLLIN)
        #expect(recv(opened.leg.descriptor.number, &bytes, 8, 0) == 4)
        try wait(opened.leg.descriptor.number, for: POLLIN)
        #expect(recv(opened.leg.descriptor.number, &bytes, 8, 0) == 0)
        _ = try program.finish()
    }

    @Test(arguments: Kind.allCases) func suchASocketIsHeld(kind: Kind) throws {
        let agent = try FakeAgent()
        for isReleased in [true, false] {
            let program = try Program.python(
                """
                s = socket.socket(family)
                s.setblocking(False)
                poll = select.epoll()
                poll.register(s, select.EPOLLOUT | select.EPOLLET)
                poll.poll(0)
                say(errno.errorcode[s.connect_ex(target)])
                say(poll.poll(0.2))
                say('released')
                say([events for _, events in poll.poll(10)])
                say(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
                """, to: kind.destination, agent: agent.path, transport: "mptcp")
            var held = try agent.hold()
            #expect(try program.line() == "EINPROGRESS")
            #expect(try program.line() == "[]")
            #expect(try program.line() == "released")
            if isReleased {
                let leg = try held.release()
                #expect(try program.finish() == ["[\(EPOLLOUT.rawValue)]", "0"])
                _ = consume leg
            } else {
                held.refuse()
                #expect(try program.finish().last == "\(ECONNREFUSED)")
            }
        }
    }
}
