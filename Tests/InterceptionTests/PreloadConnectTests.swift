import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

/// connect(2) of real programs under the preload library.
@Suite struct PreloadConnectTests {
    let agent: FakeAgent

    init() throws { agent = try FakeAgent() }

    @Test(arguments: Kind.allCases) func aBlockingConnectGetsALeg(kind: Kind) throws {
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.connect(target)
            say(s.recv(100).decode(), s.getsockname()[:2])
            """, to: kind.destination, agent: agent.path)
        let opened = try agent.openLeg()
        try write("hello", to: opened.leg.descriptor)
        try agent.serve(program) { _ in .notMine }
        var local = opened.leg.application.host.description
        if kind == .mapped { local = "::ffff:" + local }
        #expect(try program.finish() == ["hello ('\(local)', \(opened.leg.application.port))"])
    }

    @Test(arguments: Kind.allCases) func anEpollRegisteredBeforeConnectWakes(kind: Kind) throws {
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.setblocking(False)
            epoll = select.epoll()
            epoll.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
            epoll.poll(0)
            say(errno.errorcode[s.connect_ex(target)])
            events = 0
            while not events & select.EPOLLIN:
                for fd, more in epoll.poll(10): events |= more
            say(events == select.EPOLLIN | select.EPOLLOUT, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            say(s.recv(100).decode(), os.get_blocking(s.fileno()))
            """, to: kind.destination, agent: agent.path)
        let opened = try agent.openLeg()
        #expect(try program.line() == "EINPROGRESS")
        try write("hello", to: opened.leg.descriptor)
        #expect(try program.finish() == ["True 0", "hello False"])
    }

    @Test func aRefusalIsTheErrno() throws {
        let program = try Program.python(
            "s = socket.socket(family); say(errno.errorcode[s.connect_ex(target)])",
            to: Kind.v4.destination, agent: agent.path)
        let call = try agent.next()
        try call.answer(.refused(EHOSTUNREACH))
        #expect(try program.finish() == ["EHOSTUNREACH"])
    }

    @Test(arguments: [true, false]) func withoutAVerdictTheConnectionIsPlain(answered: Bool) throws {
        let server = try LegListener(family: AF_INET)
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.connect(target)
            say(s.getsockname()[1])
            """, to: server.address, agent: agent.path)
        if answered {
            try agent.next().answer(.direct)
        } else {
            // One agent after the other dies before it answers.
            for _ in 0..<8 { _ = try agent.next() }
        }
        try wait(server.descriptor.number, for: POLLIN)
        let leg = try unwrap(server.accept())
        try agent.serve(program) { _ in .notMine }
        #expect(try program.finish() == ["\(leg.application.port)"])
    }

    @Test func anAgentThatDiesIsFollowedByAnother() throws {
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.connect(target)
            say(s.recv(100).decode(), s.getsockname()[1])
            """, to: Kind.v4.destination, agent: agent.path)
        // The first has got as far as to give the socket its address.
        var call = try agent.next()
        let expected = try call.prepareLeg()
        _ = consume call
        let opened = try agent.openLeg()
        #expect(opened.leg.application == expected.source && opened.cookie == expected.cookie)
        try write("hello", to: opened.leg.descriptor)
        #expect(try program.finish() == ["hello \(expected.source.port)"])
    }

    @Test(arguments: [nil, "/nonexistent/agent.sock", String(repeating: "x", count: 200)])
    func withoutAnAgentTheConnectionIsPlain(path: String?) throws {
        let server = try LegListener(family: AF_INET)
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.connect(target)
            say(s.getpeername() == target)
            """, to: server.address, agent: path)
        #expect(try program.finish() == ["True"])
        _ = server.address
    }

    @Test func withoutDescriptorsTheConnectionIsPlain() throws {
        let server = try LegListener(family: AF_INET)
        let program = try Program.python(
            """
            s = socket.socket(family)
            held = []
            try:
                while True: held.append(os.dup(0))
            except OSError as error: say(errno.errorcode[error.errno])
            s.connect(target)
            say(s.getpeername() == target)
            """, to: server.address, agent: agent.path)
        #expect(try program.finish() == ["EMFILE", "True"])
        try agent.expectSilence()
    }

    @Test(arguments: Kind.allCases) func aHeldConnectIsReleased(kind: Kind) throws {
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.setblocking(False)
            epoll = select.epoll()
            epoll.register(s, select.EPOLLIN | select.EPOLLOUT)
            epoll.poll(0)
            say(errno.errorcode[s.connect_ex(target)], errno.errorcode[s.connect_ex(target)], epoll.poll(0.1))
            epoll.poll(10)
            say(s.connect_ex(target), errno.errorcode[s.connect_ex(target)])
            s.setblocking(True)
            say(s.recv(100).decode())
            """, to: kind.destination, agent: agent.path)
        var held = try agent.hold()
        // Asking again is the kernel's affair: connecting, then connected.
        #expect(try program.line() == "EINPROGRESS EALREADY []")
        let leg = try held.release()
        try write("hello", to: leg.descriptor)
        #expect(try program.finish() == ["0 EISCONN", "hello"])
        try agent.expectSilence()
    }

    @Test func aHeldBlockingConnectIsReleased() throws {
        let program = try Program.python(
            "s = socket.socket(family); s.connect(target); say(s.recv(100).decode())",
            to: Kind.v4.destination, agent: agent.path)
        var held = try agent.hold()
        let leg = try held.release()
        try write("hello", to: leg.descriptor)
        #expect(try program.finish() == ["hello"])
    }

    @Test(arguments: [true, false]) func aHeldConnectIsRefused(blocking: Bool) throws {
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.setblocking(\(blocking ? "True" : "False"))
            say("connecting")
            result = s.connect_ex(target)
            if result == errno.EINPROGRESS:
                poll = select.poll()
                poll.register(s, select.POLLOUT)
                poll.poll(10000)
                result = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            say(errno.errorcode[result])
            """, to: Kind.v4.destination, agent: agent.path)
        #expect(try program.line() == "connecting")
        let held = try agent.hold()
        held.refuse()
        #expect(try program.finish() == ["ECONNREFUSED"])
    }

    @Test func onlyTCPIsAsked() throws {
        let program = try Program.python(
            """
            u = socket.socket(family, socket.SOCK_DGRAM)
            u.connect(target)
            say(u.getpeername() == target)
            path = "\\0usl-test-%d" % os.getpid()
            l = socket.socket(socket.AF_UNIX); l.bind(path); l.listen()
            c = socket.socket(socket.AF_UNIX); c.connect(path)
            say(c.getpeername() == path.encode())
            six = socket.socket(socket.AF_INET6)
            libc = ctypes.CDLL(None, use_errno=True)
            v4 = b"\\x02\\x00" + bytes(14)
            for fd, address in ((six.fileno(), v4), (999, v4), (six.fileno(), None), (six.fileno(), b"\\x00" * 16)):
                result = libc.connect(fd, address, 16)
                say(result and errno.errorcode[ctypes.get_errno()])
            """, to: address("127.0.0.1", 9), agent: agent.path)
        #expect(try program.finish() == ["True", "True", "EINVAL", "EBADF", "EFAULT", "0"])
        try agent.expectSilence()
    }

    @Test func errnoStaysAsItWasOnSuccess() throws {
        let program = try Program.python(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            s = socket.socket(family)
            address = b"\\x02\\x00" + target[1].to_bytes(2, "big") + socket.inet_aton(target[0]) + bytes(8)
            ctypes.set_errno(77)
            say(libc.connect(s.fileno(), address, 16), ctypes.get_errno())
            room, length = ctypes.create_string_buffer(8), ctypes.c_uint32(8)
            say(libc.getpeername(s.fileno(), room, ctypes.byref(length)), ctypes.get_errno())
            say(room.raw == address[:8], length.value)
            """, to: Kind.v4.destination, agent: agent.path)
        let opened = try agent.openLeg()
        try agent.serve(program, answer: FakeAgent.naming(opened.cookie, Kind.v4.destination))
        #expect(try program.finish() == ["0 77", "0 77", "True 16"])
        _ = opened.leg.application
    }

    /// A handler without `SA_RESTART` ends connect(2) with `EINTR`, and the connection is made all the same.
    @Test(arguments: [true, false]) func aSignalMeanwhileHasTheKernelsEffect(restart: Bool) throws {
        let program = try Program.python(
            """
            count = 0
            def handler(*_):
                global count
                count += 1
            signal.signal(signal.SIGUSR1, handler)
            signal.siginterrupt(signal.SIGUSR1, \(restart ? "False" : "True"))
            libc = ctypes.CDLL(None, use_errno=True)
            s = socket.socket(family)
            address = b"\\x02\\x00" + target[1].to_bytes(2, "big") + socket.inet_aton(target[0]) + bytes(8)
            result = libc.connect(s.fileno(), address, 16)
            say(result and errno.errorcode[ctypes.get_errno()], os.get_blocking(s.fileno()))
            say(s.recv(100).decode(), count > 0)
            """, to: Kind.v4.destination, agent: agent.path)
        var call = try agent.next()
        let listener = try LegListener(family: AF_INET)
        _ = try call.prepareLeg()
        // More than one: the program may not have begun to wait when the first arrives.
        for _ in 0..<20 {
            kill(program.pid, SIGUSR1)
            usleep(2000)
        }
        try call.answer(.leg(AddressBytes(listener.address)))
        try wait(listener.descriptor.number, for: POLLIN)
        let leg = try unwrap(listener.accept())
        try write("hello", to: leg.descriptor)
        #expect(try program.finish() == [restart ? "0 True" : "EINTR True", "hello True"])
    }
}
