import CLinux
import Kernel
import Testing

@testable import Interception

/// Programs that listen, under the preload library.
@Suite struct PreloadServerTests {
    let agent: FakeAgent

    init() throws { agent = try FakeAgent() }

    private static let anywhere = SocketAddress(host: .v4(0), port: 0)

    @Test(arguments: [("AF_INET", "0.0.0.0"), ("AF_INET6", "::")]) func aListenerIsTold(
        family: String, host: String
    ) throws {
        let program = try Program.python(
            """
            s = socket.socket(socket.\(family))
            s.bind(('\(host)', 0))
            say(s.getsockname()[1])
            ctypes.set_errno(7)
            s.listen()
            say('listens')
            """, to: Self.anywhere, agent: agent.path)
        let port = try #require(try program.line().flatMap { UInt16($0) })
        let call = try agent.next()
        guard case .listening(let bytes, _) = call.request else { return #expect(Bool(false), "\(call.request)") }
        #expect(SocketAddress(bytes)?.port == port && SocketAddress(bytes)?.isWildcard == true)
        try call.answer(.notMine)
        #expect(try program.finish() == ["listens"])
    }

    /// Loopback is private, Unix sockets are no business of USL's, and what fails is the kernel's.
    @Test func othersAreNot() throws {
        let program = try Program.python(
            """
            for family, address in ((socket.AF_INET, ('127.0.0.1', 0)), (socket.AF_INET6, ('::1', 0)),
                                    (socket.AF_INET6, ('::ffff:127.0.0.1', 0)), (socket.AF_UNIX, '')):
                s = socket.socket(family)
                s.bind(address)
                s.listen()
                say('listens')
            try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).listen()
            except OSError as error: say(error.errno == errno.EOPNOTSUPP)
            """, to: Self.anywhere, agent: agent.path)
        #expect(try program.finish() == ["listens", "listens", "listens", "listens", "True"])
        try agent.expectSilence()
    }

    @Test func withoutAnAgentNothingChanges() throws {
        let program = try Program.python(
            """
            s = socket.create_server(('', 0))
            c = socket.create_connection(('127.0.0.1', s.getsockname()[1]))
            a, address = s.accept()
            say(address == c.getsockname())
            """, to: Self.anywhere, agent: nil)
        #expect(try program.finish() == ["True"])
    }

    /// accept(2) and getpeername(2) tell the client, in the spelling of the socket's family; cut off as the kernel does it.
    @Test(arguments: [("AF_INET", "192.0.2.9"), ("AF_INET6", "::ffff:192.0.2.9")]) func aClientIsTold(
        family: String, client: String
    ) throws {
        let program = try Program.python(
            """
            s = socket.socket(socket.\(family))
            s.bind(('', 0))
            s.listen()
            c = socket.socket(socket.AF_INET)
            libc = ctypes.CDLL(None, use_errno=True)
            c.connect(('127.0.0.1', s.getsockname()[1]))
            a, address = s.accept()
            say(*address[:2])
            say(*a.getpeername()[:2])
            # accept(2), with less room than it takes.
            c = socket.socket(socket.AF_INET)
            c.connect(('127.0.0.1', s.getsockname()[1]))
            room, length = ctypes.create_string_buffer(b'x' * 8, 8), ctypes.c_uint32(4)
            say(libc.accept(s.fileno(), room, ctypes.byref(length)) >= 0, length.value, room.raw[4:])
            """, to: Self.anywhere, agent: agent.path)
        try agent.serve(program) { request in
            switch request {
            case .client, .peerName:
                .asked(AddressBytes(SocketAddress(host: SocketAddress.Host(numeric: client)!, port: 4711)))
            case .connect: .direct
            default: .notMine
            }
        }
        let size = family == "AF_INET" ? 16 : 28
        #expect(try program.finish() == ["\(client) 4711", "\(client) 4711", "True \(size) b'xxxx'"])
    }
}
