import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

/// Datagrams of real programs under the preload library.
@Suite struct PreloadDatagramTests {
    let agent: FakeAgent

    init() throws { agent = try FakeAgent() }

    /// Runs a script that has a socket `relay` of its own, to which the agent sends what is for `target`.
    private func run(
        _ script: String, _ kind: Kind = .v4, ports: String = "80",
        answer: ((ControlRequest) -> ControlResponse?)? = nil
    ) throws -> [String] {
        let relayHost =
            switch kind {
            case .v4: "127.117.3.4"
            case .v6: "::1"
            case .mapped: "::ffff:127.117.3.4"
            }
        let program = try Program.python(
            """
            relay = socket.socket(family, socket.SOCK_DGRAM)
            for port in range(61500, 61600):
                try:
                    relay.bind(("\(relayHost)", port))
                    break
                except OSError: pass
            say(port)
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(10)
            relay.settimeout(10)
            def turn():
                question, sender = relay.recvfrom(100)
                relay.sendto(b"re:" + question, sender)

            """ + script, to: kind.destination, agent: agent.path, datagramPorts: ports)
        let port = try #require(try program.line().flatMap { UInt16($0) })
        let relay = address(relayHost, port)
        let natural = address(kind == .v4 ? "198.51.100.1" : kind == .v6 ? "2001:db8::1" : "::ffff:198.51.100.1", 0)
        try agent.serve(program) { request in
            if let answer = answer?(request) { return answer }
            return switch request {
            case .associate(to: AddressBytes(kind.destination), _): .leg(AddressBytes(relay))
            case .relayed(at: AddressBytes(relay), local: false): .asked(AddressBytes(kind.destination))
            case .relayed(at: AddressBytes(relay), local: true): .asked(AddressBytes(natural))
            default: .notMine
            }
        }
        return try program.finish()
    }

    @Test(arguments: Kind.allCases) func answersComeFromWhomWasAsked(kind: Kind) throws {
        let lines = try run(
            """
            say(s.sendto(b"one", target)); turn(); data, sender = s.recvfrom(100); say(data, sender[:2] == target)
            say(s.sendmsg([b"t", b"wo"], [], 0, target)); turn(); data, _, _, sender = s.recvmsg(100); say(data, sender[:2] == target)
            say(s.getsockname()[0] in ("0.0.0.0", "::"))
            """, kind)
        #expect(lines == ["3", "b're:one' True", "3", "b're:two' True", "True"])
    }

    @Test(arguments: Kind.allCases) func aConnectedSocketHasTheNamesThatItWouldHave(kind: Kind) throws {
        let lines = try run(
            """
            s.connect(target)
            port = s.getsockname()[1]
            say(s.getpeername()[:2] == target, s.getsockname()[0], port > 0)
            s.send(b"one"); turn(); say(s.recv(100)); s.send(b"two"); turn(); say(s.recvfrom(100)[1][:2] == target)
            """, kind)
        let local = kind == .v4 ? "198.51.100.1" : kind == .v6 ? "2001:db8::1" : "::ffff:198.51.100.1"
        #expect(lines == ["True \(local) True", "b're:one'", "True"])
    }

    /// To other ports, also from a socket that is connected to a relay.
    @Test func otherDatagramsAreNobodysBusiness() throws {
        var asked = 0
        let lines = try run(
            """
            other = socket.socket(family, socket.SOCK_DGRAM); other.bind(("127.0.0.1", 0)); other.settimeout(10)
            s.sendto(b"one", other.getsockname()); data, sender = other.recvfrom(100)
            other.sendto(b"two", sender); say(s.recvfrom(100)[1] == other.getsockname())
            say(s.sendmsg([b"x"], [], 0, other.getsockname()))
            s.connect(target); s.connect(other.getsockname()); say(s.getpeername() == other.getsockname())
            say(s.getsockname()[0])
            """
        ) {
            if case .associate(let address, _) = $0 {
                #expect(address == AddressBytes(Kind.v4.destination))
                asked += 1
            }
            return nil
        }
        #expect(lines == ["True", "1", "True", "127.0.0.1"] && asked == 1)
    }

    @Test func withoutListedPortsNothingIsAsked() throws {
        let program = try Program.python(
            """
            s = socket.socket(family, socket.SOCK_DGRAM)
            r = socket.socket(family, socket.SOCK_DGRAM); r.bind(("127.117.9.9", 0)); r.settimeout(10)
            s.sendto(b"x", r.getsockname()); data, sender = r.recvfrom(10); r.sendto(b"y", sender)
            s.settimeout(10); say(s.recvfrom(10)[1] == r.getsockname())
            """, to: Kind.v4.destination, agent: agent.path, datagramPorts: "")
        #expect(try program.finish() == ["True"])
        try agent.expectSilence()
    }

    @Test(arguments: [ControlResponse.direct, .refused(ECONNREFUSED)])
    func theAgentMayLeaveItAlone(answer: ControlResponse) throws {
        let lines = try run(
            """
            target = ("127.0.0.1", 80)
            for call in (lambda: s.sendto(b"x", target), lambda: s.sendmsg([b"x"], [], 0, target), lambda: s.connect(target)):
                try: say(call())
                except OSError as e: say(e.errno)
            """
        ) {
            if case .associate = $0 { answer } else { nil }
        }
        #expect(lines == (answer == .direct ? ["1", "1", "None"] : ["111", "111", "111"]))
    }

    /// The kernel's semantics: what fails after the first is no error. And nothing of the caller's has changed but what it is told.
    @Test func severalMessagesInOneCall() throws {
        let lines = try run(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            class iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]
            class msghdr(ctypes.Structure): _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint),
                ("iov", ctypes.POINTER(iovec)), ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p),
                ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]
            class mmsghdr(ctypes.Structure): _fields_ = [("hdr", msghdr), ("len", ctypes.c_uint)]
            def name(host, port): return ctypes.create_string_buffer(
                (2).to_bytes(2, "little") + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8), 16)
            names = [name(*target), name("127.117.3.4", relay.getsockname()[1]), name("0.0.0.0", 80)]
            parts = [iovec(b"one", 3), iovec(b"to", 2), iovec(b"x", 1 << 20)]
            batch = (mmsghdr * 3)()
            for message, where, part in zip(batch, names, parts):
                message.hdr = msghdr(ctypes.addressof(where), 16, ctypes.pointer(part), 1, None, 0, 0)
            before = bytes(batch)
            ctypes.set_errno(77)
            say(libc.sendmmsg(s.fileno(), batch, 3, 0), ctypes.get_errno(), batch[0].len, batch[1].len)
            batch[0].len = batch[1].len = 0
            say(bytes(batch) == before)
            turn(); turn()
            rooms = [ctypes.create_string_buffer(28) for _ in range(2)]
            data = [ctypes.create_string_buffer(20) for _ in range(2)]
            vectors = [iovec(ctypes.cast(d, ctypes.c_char_p), 20) for d in data]
            for message, room, vector in zip(batch, rooms, vectors):
                message.hdr = msghdr(ctypes.addressof(room), 28, ctypes.pointer(vector), 1, None, 0, 0)
            say(libc.recvmmsg(s.fileno(), batch, 2, 0, None), ctypes.get_errno(), data[0].value, data[1].value)
            for room, message in zip(rooms, batch): say(socket.inet_ntoa(room.raw[4:8]), message.hdr.namelen)
            """)
        #expect(
            lines == [
                "2 77 3 2", "True", "2 77 b're:one' b're:to'", "203.0.113.7 16", "203.0.113.7 16",
            ])
    }

    /// `IP_PKTINFO` says from where: that is not to be changed.
    @Test func aDatagramThatChoosesItsPathIsLeftAlone() throws {
        let lines = try run(
            """
            libc = ctypes.CDLL(None)
            choice = (0).to_bytes(4, "little") + socket.inet_aton("127.0.0.1") + bytes(4)
            say(s.sendmsg([b"x"], [(socket.IPPROTO_IP, 8, choice)], 0, ("127.0.0.1", 80)))
            """
        ) {
            if case .associate = $0 { Issue.record("the agent was asked") }
            return nil
        }
        #expect(lines == ["1"])
    }

    @Test(arguments: [
        ("53,80", true), ("1-65535", true), ("79-81", true), ("81-90", false), ("", false), ("x", false),
        ("65536,80", false),
        ("80,", true), ("-80", false), ("53-80", true),
    ])
    func thePortsAreReadOnce(ports: String, isListed: Bool) throws {
        var asked = 0
        _ = try run("os.environ['USL_UDP_PORTS'] = '9'\ns.sendto(b'x', ('127.0.0.1', 80))", ports: ports) {
            if case .associate = $0 { asked += 1 }
            return .direct
        }
        #expect(asked == (isListed ? 1 : 0))
    }
}
