import CLinux
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Gateway

@Suite("Fronts")
struct FrontTests {
    /// A gateway with a front, and a client of that.
    private final class Fronted {
        let gateway: GatewayUnderTest
        let address: SocketAddress
        let client: TestPeer
        private(set) var server: TestPeer?

        init(sendsProxyHeader: Bool = false, dialling dial: (SocketAddress) throws -> TCPSocket) throws {
            gateway = try GatewayUnderTest(allow: "192.0.2.1:1", sendsProxyHeader: sendsProxyHeader, hasFront: true)
            address = try #require(gateway.front)
            client = TestPeer(try dial(address))
            try eventually { try client.socket?.finishConnect() == true }
        }

        func run(until condition: () -> Bool) throws {
            try eventually {
                client.listen()
                if server == nil, let socket = try gateway.server.accept() { server = TestPeer(socket) }
                server?.listen()
                return condition()
            }
        }
    }

    private static func ordinary(_ address: SocketAddress) throws -> TCPSocket {
        try TCPSocket.dial(address, profile: .leg)
    }

    private static func marked(_ address: SocketAddress) throws -> TCPSocket { try ProbeMark.dial(address) }

    /// An ordinary client whose end comes with the third packet of the handshake, as where the second one was lost.
    private static func hasty(_ address: SocketAddress) throws -> TCPSocket {
        let socket = try TCPSocket(family: address.family)
        var off: Int32 = 0
        try check(setsockopt(socket.number, Int32(IPPROTO_TCP), TCP_QUICKACK, &off, 4))
        try socket.connect(to: address)
        return socket
    }

    // MARK: - Ordinary clients

    @Test("an ordinary client has the server, both ways and to the end of each")
    func relayed() throws {
        let front = try Fronted(dialling: Self.ordinary)
        try front.run { front.server != nil }
        front.server?.say([1])
        try front.run { front.client.heard == [1] }
        front.client.say([2, 3])
        front.client.finish()
        try front.run { front.server?.sawEnd == true }
        #expect(front.server?.heard == [2, 3] && !front.client.sawEnd)
        front.server?.say([4])
        front.server?.finish()
        try front.run { front.client.sawEnd }
        #expect(front.client.heard == [1, 4] && front.client.failure == nil)
    }

    @Test("an ordinary client that goes at once has the server too, even if its end comes with the handshake")
    func silentClients() throws {
        for dial in [Self.ordinary, Self.hasty] {
            let front = try Fronted(dialling: dial)
            front.client.finish()
            try front.run { front.server?.sawEnd == true }
            front.server?.say(Array("13 May".utf8))
            front.server?.close()
            try front.run { front.client.sawEnd }
            #expect(front.client.heard == Array("13 May".utf8))
        }
    }

    @Test("a client that has the mark and speaks is an ordinary one, with all its bytes")
    func markedAndSpeaking() throws {
        let front = try Fronted(dialling: Self.marked)
        front.client.say([1, 2, 3])
        try front.run { front.server?.heard == [1, 2, 3] }
    }

    @Test("a client that has the mark and waits is an ordinary one, after a while")
    func markedAndSilent() throws {
        let front = try Fronted(dialling: Self.marked)
        let start = ContinuousClock.now
        try front.run { front.server != nil }
        #expect(ContinuousClock.now - start >= .milliseconds(250))
        front.server?.say([1])
        try front.run { front.client.heard == [1] }
    }

    @Test("a reset on one side is one on the other", arguments: [true, false])
    func reset(byClient: Bool) throws {
        let front = try Fronted(dialling: Self.ordinary)
        front.client.say([1])
        try front.run { front.server?.heard == [1] }
        let server = try #require(front.server)
        (byClient ? front.client : server).reset()
        let other = byClient ? server : front.client
        try front.run { other.failure != nil || other.sawEnd }
        #expect(other.failure == .connectionReset)
    }

    @Test("where the server refuses, the client is reset")
    func refused() throws {
        let gateway = try GatewayUnderTest(hasFront: true)
        try check(shutdown(gateway.server.number, Int32(SHUT_RDWR)))
        let client = try TestPeer(dialling: try #require(gateway.front))
        try eventually {
            client.listen()
            return client.failure != nil || client.sawEnd
        }
        #expect(client.failure == .connectionReset)
    }

    @Test("the server hears who the client is, if it wants to")
    func proxyHeader() throws {
        let front = try Fronted(sendsProxyHeader: true, dialling: Self.ordinary)
        front.client.say([1])
        let source = try #require(try front.client.socket?.localAddress())
        let header = ProxyHeader.encode(source: source, destination: front.address)
        try front.run { front.server?.heard == header + [1] }
    }

    // MARK: - Probes

    @Test(
        "a probe is answered, at once or when its end comes later, and the server never knows",
        arguments: [true, false])
    func probed(atOnce: Bool) throws {
        let front = try Fronted(dialling: Self.marked)
        if !atOnce {
            // Long enough for the handshake's acknowledgement to have gone without the end of the stream.
            try eventually { try front.client.socket?.info().segs_out == 2 }
        }
        front.client.finish()
        try front.run { front.client.sawEnd }
        let gateway = EnhancementAnswer.Gateway(port: front.gateway.address.port, isTLS: false)
        #expect(EnhancementAnswer.read(front.client.heard) == .complete(EnhancementAnswer(gateways: [gateway])))
        #expect(front.server == nil)
        // What comes behind it is the first that the server sees.
        let next = try TestPeer(dialling: front.address)
        next.say([9])
        try front.run { front.server?.heard == [9] }
    }

    // MARK: - Sessions

    @Test("a session to the front's port reaches the server, and one past the front does not")
    func session() throws {
        let gateway = try GatewayUnderTest(allow: "192.0.2.1:1", hasFront: true)
        let opener = try HandMadeOpener(gateway.address)
        opener.say(try HandMadeSession(1, to: try #require(gateway.front)).greeting)
        #expect(try opener.hear()?.header.type == .opened)
        #expect(try gateway.server.accept() != nil)

        let other = try HandMadeOpener(gateway.address)
        other.say(try HandMadeSession(2, to: gateway.serverAddress).greeting)
        #expect(try other.hear()?.code == RefusedMessage.Code.notAllowed.rawValue)
        #expect(try gateway.server.accept() == nil)
    }

    // MARK: - Arguments

    @Test("a front is a port or an address, and a target")
    func arguments() throws {
        let port = try Front.parse("22=127.0.0.1:2222")
        #expect(port.listen.map(\.description) == ["0.0.0.0:22", "[::]:22"])
        #expect(port.targets.map(\.description) == ["127.0.0.1:2222"])
        let address = try Front.parse("[2001:db8::1]:80=[::1]:8080")
        #expect(address.listen.map(\.description) == ["[2001:db8::1]:80"])
        #expect(address.targets.map(\.description) == ["[::1]:8080"])
    }

    @Test(
        "what is no front is told",
        arguments: [
            "", "22", "=", "22=", "=localhost:22", "22=localhost", "0=127.0.0.1:22", "22=127.0.0.1:0",
            "65536=127.0.0.1:22",
            "a b:22=127.0.0.1:22", "127.0.0.1=127.0.0.1:22", "22=127.0.0.1:22", "22=[::1]:22",
            "127.0.0.1:22=127.0.0.1:22",
        ])
    func noFronts(text: String) { #expect(throws: FrontError.self) { try Front.parse(text) } }

    @Test("a front's port of this host is the front's, and nothing else")
    func serves() throws {
        let everywhere = try Front.parse("22=127.0.0.1:2222")
        let one = try Front.parse("192.0.2.1:22=127.0.0.1:2222")
        let own: Set<SocketAddress.Host> = [.v4(0xc000_0201), .v4(0xc000_0202)]
        for (text, atAll, atOne) in [
            ("192.0.2.1:22", true, true), ("192.0.2.2:22", true, false), ("192.0.2.3:22", false, false),
            ("192.0.2.1:23", false, false), ("127.0.0.1:22", true, false), ("[::1]:22", true, false),
        ] {
            let address = try #require(SocketAddress(text))
            #expect(everywhere.serves(address, ownAddresses: { own }) == atAll, "\(text)")
            #expect(one.serves(address, ownAddresses: { own }) == atOne, "\(text)")
        }
    }
}
