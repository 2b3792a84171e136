import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Gateway
@testable import SessionHost

@Suite("Front door")
struct FrontDoorTests {
    // MARK: - OPEN

    @Test("an allowed target is connected to once, however often OPEN is repeated")
    func repeatedOpen() throws {
        let gateway = try GatewayUnderTest()
        let session = try HandMadeSession(1, to: gateway.serverAddress)
        let first = try HandMadeOpener(gateway.address)
        first.say(session.greeting)
        let answer = try #require(try first.hear())
        #expect(answer.header.type == .opened)

        let second = try HandMadeOpener(gateway.address)
        second.say(session.greeting)
        let again = try #require(try second.hear())
        #expect(again.header.type == .opened && again.payload == answer.payload)
        try session.opened(again)
        // This connection is not link 0: it attaches like any other.
        second.say(try Array(session.attach(link: 1, epoch: 1).dropFirst(Wire.preface.count)))
        #expect(try second.hear()?.header.type == .attached)

        #expect(try gateway.server.accept() != nil)
        #expect(try gateway.server.accept() == nil)
        #expect(gateway.ask(\.liveSessions) == 1)
    }

    @Test("an identifier in use is nobody else's")
    func otherKeyShare() throws {
        let gateway = try GatewayUnderTest()
        let first = try HandMadeOpener(gateway.address)
        first.say(try HandMadeSession(1, to: gateway.serverAddress).greeting)
        #expect(try first.hear()?.header.type == .opened)
        let second = try HandMadeOpener(gateway.address)
        second.say(try HandMadeSession(1, to: gateway.serverAddress).greeting)
        let answer = try second.hear()
        #expect(answer?.header.type == .refused)
        #expect(answer?.code == RefusedMessage.Code.identifierInUse.rawValue)
        first.expectAlive()
    }

    @Test(
        "a name is looked up, and its addresses told that are allowed",
        arguments: [
            ("localhost", "*:5432", nil), ("127.0.0.1", "127.0.0.0/8:5000-6000", nil),
            ("127.0.0.1", "*:1-5431", .notAllowed),
            ("192.0.2.1", "127.0.0.0/8:5432", .notAllowed), ("nobody..invalid", "*:5432", .hostUnreachable),
        ] as [(String, String, RefusedMessage.Code?)])
    func lookup(name: String, allow: String, refusal: RefusedMessage.Code?) throws {
        let gateway = try GatewayUnderTest(allow: allow)
        let opener = try HandMadeOpener(gateway.address)
        opener.say(Wire.preface + (try #require(LookupMessage(name: name, port: 5432)).encoded))
        let answer = try #require(try opener.hear())
        if let refusal {
            #expect(answer.header.type == .refused && answer.code == refusal.rawValue)
        } else {
            #expect(answer.header.type == .found)
            #expect(try FoundMessage(payload: answer.payload).addresses.contains([127, 0, 0, 1]))
        }
        #expect(try opener.hear() == nil)
    }

    @Test("a lookup is the only frame of its connection")
    func lookupAlone() throws {
        let gateway = try GatewayUnderTest(allow: "*:1-65535")
        let opener = try HandMadeOpener(gateway.address)
        let question = try #require(LookupMessage(name: "localhost", port: 1)).encoded
        opener.say(Wire.preface + question + question)
        #expect(try opener.hear()?.code == RefusedMessage.Code.malformed.rawValue)
        #expect(try opener.hear() == nil)
    }

    @Test("a target that is not allowed is not connected to")
    func notAllowed() throws {
        let gateway = try GatewayUnderTest(allow: "192.0.2.1:1")
        let opener = try HandMadeOpener(gateway.address)
        opener.say(try HandMadeSession(1, to: gateway.serverAddress).greeting)
        #expect(try opener.hear()?.code == RefusedMessage.Code.notAllowed.rawValue)
        #expect(try opener.hear() == nil)
        #expect(try gateway.server.accept() == nil)
    }

    @Test("a target that refuses is refused, by the same name the next time too")
    func refusingTarget() throws {
        let gateway = try GatewayUnderTest(allow: "127.0.0.1:1-65535")
        let nobody = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0)).localAddress()
        let session = try HandMadeSession(1, to: nobody)
        for _ in 0..<2 {
            let opener = try HandMadeOpener(gateway.address)
            opener.say(session.greeting)
            #expect(try opener.hear()?.code == RefusedMessage.Code.connectionRefused.rawValue)
        }
        #expect(gateway.ask(\.liveSessions) == 0)
    }

    /// Broadcast is refused by connect(2) itself, before the keeper's answer could have mattered.
    @Test("a target that fails leaves nothing in escrow", arguments: ["127.0.0.1", "255.255.255.255"])
    func escrowOfFailures(host: String) throws {
        let gateway = try GatewayUnderTest(allow: "*:1-65535")
        let port = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0)).localAddress().port
        let target = SocketAddress(host: try #require(SocketAddress.Host(numeric: host)), port: port)
        let opener = try HandMadeOpener(gateway.address)
        opener.say(try HandMadeSession(1, to: target).greeting)
        #expect(try opener.hear()?.header.type == .refused)
        // What the front door does behind its answer is done when it answers this.
        _ = gateway.ask(\.liveSessions)
        #expect(gateway.legsInEscrow() == 0)
    }

    @Test("a connection has one OPEN")
    func secondOpen() throws {
        let gateway = try GatewayUnderTest()
        let session = try HandMadeSession(1, to: gateway.serverAddress)
        let first = try HandMadeOpener(gateway.address)
        first.say(session.greeting)
        #expect(try first.hear()?.header.type == .opened)
        let second = try HandMadeOpener(gateway.address)
        second.say(session.greeting)
        #expect(try second.hear()?.header.type == .opened)
        second.say(session.open.encoded)
        #expect(try second.hear()?.code == RefusedMessage.Code.malformed.rawValue)
        first.expectAlive()
    }

    // MARK: - ATTACH

    @Test("an ATTACH of a session that nobody knows hears so")
    func attachUnknown() throws {
        let gateway = try GatewayUnderTest()
        let opener = try HandMadeOpener(gateway.address)
        opener.say(try HandMadeSession(1, to: gateway.serverAddress).attach(link: 1, epoch: 1))
        let answer = try opener.hear()
        #expect(answer?.header.type == .gone && answer?.code == GoneMessage.Reason.unknown.rawValue)
    }

    /// With proofs that both roles could have made, one heard from the gateway would do for an opener.
    @Test("the gateway proves an ATTACHED in its own role, also one that says that an epoch is old")
    func attachedProven() throws {
        let gateway = try GatewayUnderTest()
        let (session, first) = try gateway.openSession()
        for flags: UInt8 in [0, 1] {
            let opener = try HandMadeOpener(gateway.address)
            opener.say(try session.attach(link: UInt32(flags) + 1, epoch: 1))
            let answer = try #require(try opener.hear())
            #expect(answer.header.type == .attached && answer.header.flags == flags)
            #expect(try session.isProven(answer))
        }
        first.expectAlive()
    }

    @Test("without the right proof an ATTACH changes nothing")
    func attachUnproven() throws {
        let gateway = try GatewayUnderTest()
        let (session, first) = try gateway.openSession()
        for spoil: UInt8 in [1, 0x80] {
            let intruder = try HandMadeOpener(gateway.address)
            intruder.say(try session.attach(link: 1, epoch: .max, spoil: spoil))
            #expect(try intruder.hear() == nil)
        }
        first.expectAlive()
        // The epoch of the wrong one does not count either.
        let second = try HandMadeOpener(gateway.address)
        second.say(try session.attach(link: 1, epoch: 1))
        let answer = try second.hear()
        #expect(answer?.header.type == .attached && answer?.header.flags == 0)
    }

    @Test("an ATTACH that was heard on the way and is said again joins nothing")
    func attachReplayed() throws {
        let gateway = try GatewayUnderTest()
        let (session, first) = try gateway.openSession()
        let frame = try session.attach(link: 1, epoch: 1)
        let second = try HandMadeOpener(gateway.address)
        second.say(frame)
        #expect(try second.hear()?.header.flags == 0)
        let replay = try HandMadeOpener(gateway.address)
        replay.say(frame)
        let answer = try replay.hear()
        // Flag 1 of ATTACHED: the epoch is old.
        #expect(answer?.header.type == .attached && answer?.header.flags == 1)
        #expect(try replay.hear() == nil)
        // The link that speaks becomes current, and the other is retired: in this order.
        first.expectAlive()
        second.expectAlive()
    }

    @Test("an epoch far below the highest joins nothing, and neither does the gateway's own proof, or none")
    func attachOldOrReflected() throws {
        let gateway = try GatewayUnderTest()
        let (session, first) = try gateway.openSession()
        let second = try HandMadeOpener(gateway.address)
        second.say(try session.attach(link: 1, epoch: 1000))
        #expect(try second.hear()?.header.flags == 0)
        let old = try HandMadeOpener(gateway.address)
        old.say(try session.attach(link: 2, epoch: 4))
        #expect(try old.hear()?.header.flags == 1)
        let keyless = try HandMadeSession(1, to: gateway.serverAddress)
        for frame in [
            try session.attach(link: 2, epoch: 1001, as: .acceptor), try keyless.attach(link: 2, epoch: 1001),
        ] {
            let intruder = try HandMadeOpener(gateway.address)
            intruder.say(frame)
            #expect(try intruder.hear() == nil)
        }
        first.expectAlive()
        second.expectAlive()
    }

    @Test("an OPEN or ATTACH that is cut at any byte changes nothing, and leaves nothing behind")
    func truncated() throws {
        let gateway = try GatewayUnderTest()
        let (session, first) = try gateway.openSession()
        let frames = [
            try HandMadeSession(2, to: gateway.serverAddress).greeting, try session.attach(link: 1, epoch: 1),
        ]
        for frame in frames {
            for end in frame.indices {
                let cut = try HandMadeOpener(gateway.address)
                cut.say(Array(frame[..<end]))
            }
        }
        let limit = ContinuousClock.now + .seconds(10)
        while gateway.ask(\.strangers.report.handshakes.now) != 0, ContinuousClock.now < limit {}
        #expect(gateway.ask(\.strangers.report.handshakes.now) == 0 && gateway.ask(\.liveSessions) == 1)
        first.expectAlive()
    }

    @Test("who comes back to a session that is over hears how it ended")
    func attachOver() throws {
        let gateway = try GatewayUnderTest()
        let (session, first) = try gateway.openSession()
        #expect(gateway.legsInEscrow() == 1)
        first.say(FrameHeader(type: .abort).encodedBytes)
        #expect(try first.hear()?.code == GoneMessage.Reason.aborted.rawValue)
        let end = ContinuousClock.now + .seconds(10)
        while gateway.ask(\.liveSessions) != 0, ContinuousClock.now < end { usleep(100) }
        #expect(gateway.legsInEscrow() == 0)
        for greeting in [try session.attach(link: 1, epoch: 1), session.greeting] {
            let late = try HandMadeOpener(gateway.address)
            late.say(greeting)
            let answer = try late.hear()
            #expect(answer?.header.type == .gone && answer?.code == GoneMessage.Reason.aborted.rawValue)
        }
    }

    // MARK: - Strangers

    @Test(
        "whoever does not speak USL/1 is let go",
        arguments: [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [0x16, 3, 1, 0, 4], [0], Array("USL".utf8) + [0],
            Wire.preface + FrameHeader(type: .data, length: 4).encodedBytes,
            Wire.preface + FrameHeader(type: .ping).encodedBytes,
            Wire.preface + FrameHeader(type: .open, length: 16_385).encodedBytes,
            Wire.preface + FrameHeader(type: .open, length: 3).encodedBytes + [1, 2, 3],
            Wire.preface + FrameHeader(type: .attach).encodedBytes,
            Wire.preface + [255] + [UInt8](repeating: 0, count: 23),
        ])
    func strangers(says: [UInt8]) throws {
        let gateway = try GatewayUnderTest()
        let stranger = try HandMadeOpener(gateway.address)
        stranger.say(says)
        while try stranger.receive() != nil {}
        #expect(gateway.ask(\.liveSessions) == 0)
    }

    @Test("another version hears which one is spoken here")
    func otherVersion() throws {
        let gateway = try GatewayUnderTest()
        let stranger = try HandMadeOpener(gateway.address)
        stranger.say(Array("USL/2\r\n\0".utf8))
        #expect(try stranger.receive() == Wire.preface)
        #expect(try stranger.receive() == nil)
    }

    @Test("an OPEN in single bytes is an OPEN; one that stops in the middle is nothing")
    func pieces() throws {
        let gateway = try GatewayUnderTest()
        let session = try HandMadeSession(1, to: gateway.serverAddress)
        for end in stride(from: 1, to: session.greeting.count, by: 7) {
            let stopping = try HandMadeOpener(gateway.address)
            stopping.say([UInt8](session.greeting[..<end]))
        }
        let slow = try HandMadeOpener(gateway.address)
        for byte in session.greeting { slow.say([byte]) }
        #expect(try slow.hear()?.header.type == .opened)
        #expect(gateway.ask(\.liveSessions) == 1)
    }
}
