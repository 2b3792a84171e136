import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Interception

/// Names that real programs resolve under the preload library. `localhost` is the one that every machine knows.
@Suite struct PreloadResolvingTests {
    let agent: FakeAgent

    init() throws { agent = try FakeAgent() }

    private func run(_ script: String) throws -> Program {
        try Program.python(script, to: Kind.v4.destination, agent: agent.path)
    }

    /// The name that the next message of a program tells.
    private func told(sourceLocation: SourceLocation = #_sourceLocation) throws -> ResolvedName? {
        let call = try agent.next(sourceLocation: sourceLocation)
        guard case .resolved(let byteCount) = call.request else { return nil }
        return try call.connection.receiveResolved(byteCount: byteCount)
    }

    private static let loopback = SocketAddress.Host.v4(0x7f00_0001)

    private static let libc = "libc = ctypes.CDLL(None, use_errno=True); ctypes.set_errno(77)\n"

    /// Each function, called as a C program calls it. What it gives is the same as without the library, errno included.
    @Test(arguments: [
        """
        libc.gethostbyname.restype = ctypes.c_void_p
        found = libc.gethostbyname(b'localhost')
        """,
        """
        libc.gethostbyname2.restype = ctypes.c_void_p
        found = libc.gethostbyname2(b'localhost', socket.AF_INET)
        """,
        """
        entry, room, result, code = (ctypes.create_string_buffer(n) for n in (32, 4096, 8, 4))
        assert libc.gethostbyname_r(b'localhost', entry, room, ctypes.c_size_t(4096), result, code) == 0
        found = int.from_bytes(result.raw, 'little')
        """,
        """
        entry, room, result, code = (ctypes.create_string_buffer(n) for n in (32, 4096, 8, 4))
        assert libc.gethostbyname2_r(b'localhost', socket.AF_INET, entry, room, ctypes.c_size_t(4096), result, code) == 0
        found = int.from_bytes(result.raw, 'little')
        """,
        """
        result = ctypes.create_string_buffer(8)
        assert libc.getaddrinfo(b'localhost', None, None, result) == 0
        found = int.from_bytes(result.raw, 'little')
        """,
    ])
    func everyFunctionTells(call: String) throws {
        let program = try run(Self.libc + call + "\nsay(found != 0, ctypes.get_errno())")
        let resolved = try #require(try told())
        #expect(resolved.name == "localhost" && resolved.addresses.contains(Self.loopback))
        let lines = try program.finish()
        #expect(lines.count == 1 && lines[0].hasPrefix("True"), "\(lines)")
        let bare = try Program.python(
            Self.libc + call + "\nsay(found != 0, ctypes.get_errno())", to: Kind.v4.destination, agent: nil)
        #expect(try bare.finish() == lines)
    }

    @Test func theAddressesAreThoseThatTheProgramGot() throws {
        let program = try run(
            "say(*dict.fromkeys(entry[4][0] for entry in socket.getaddrinfo('LocalHost', 80)))")
        let resolved = try #require(try told())
        #expect(resolved.name == "localhost")
        #expect(try program.finish() == [resolved.addresses.map(\.description).joined(separator: " ")])
    }

    /// Addresses are no names, and what was not found has no addresses.
    @Test func nothingElseIsTold() throws {
        let program = try run(
            """
            for name in ('127.0.0.1', '127.1', '0x7f000001', '::1', '::ffff:127.0.0.1', None, '', 'x' * 300, 'no.invalid\\x7f'):
                try: socket.getaddrinfo(name, 80)
                except (OSError, UnicodeError): pass
            try: socket.gethostbyname_ex('127.0.0.1')
            except OSError: pass
            say('done')
            """)
        #expect(try program.finish() == ["done"])
        try agent.expectSilence()
    }

    @Test func failuresAreThoseOfTheResolver() throws {
        let script = """
            libc = ctypes.CDLL(None, use_errno=True)
            result = ctypes.create_string_buffer(8)
            hints = (ctypes.c_int * 12)(0x4, 99)  # AI_NUMERICHOST, a family that there is not
            say(libc.getaddrinfo(b'localhost', None, None, result), libc.getaddrinfo(b'localhost', None, hints, result))
            say(libc.getaddrinfo(None, None, None, result), libc.gethostbyname(b'a b'))
            """
        let bare = try Program.python(script, to: Kind.v4.destination, agent: nil).finish()
        let program = try run(script)
        #expect(try told() != nil)
        #expect(try program.finish() == bare)
        try agent.expectSilence()
    }

    /// Neither an agent that is not there, nor one whose queue is full, delays a program.
    @Test func nobodyIsWaitedFor() throws {
        let script = """
            import time
            begin = time.monotonic()
            for _ in range(20): socket.getaddrinfo('localhost', 80)
            say(time.monotonic() - begin < 5)
            """
        let gone = try Program.python(script, to: Kind.v4.destination, agent: "/nonexistent/agent.sock")
        #expect(try gone.finish() == ["True"])

        let temporary = try TemporaryDirectory()
        let path = temporary.path + "/agent.sock"
        let stopped = Descriptor(owning: try check(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)))
        try withUnixAddress(path) { (address, length) throws(Errno) in
            _ = try check(usl_bind(stopped.number, address, length))
        }
        try check(listen(stopped.number, 0))
        var waiting: [Int32] = []
        defer { for client in waiting { close(client) } }
        #expect(throws: Errno.self) {
            while waiting.count < 100 {
                waiting.append(try ControlConnection(path: path).descriptor.duplicate().release())
            }
        }
        #expect(try Program.python(script, to: Kind.v4.destination, agent: path).finish() == ["True"])
    }
}
