import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Gateway
@testable import Keeper

@Suite("What a gateway would do")
struct AskTests {
    private func answer(_ gateway: GatewayUnderTest, about destination: SocketAddress) throws -> AnswerMessage.Service {
        let opener = try HandMadeOpener(gateway.address)
        let session = try HandMadeSession(1, to: destination)
        opener.say(Wire.preface + AskMessage(destination: session.open.destination).encoded)
        let frame = try #require(try opener.hear())
        #expect(frame.header.type == .answer)
        #expect(try opener.hear() == nil)
        return try AnswerMessage(payload: frame.payload).service
    }

    @Test("it connects to nothing for that")
    func served() throws {
        let gateway = try GatewayUnderTest()
        #expect(try answer(gateway, about: gateway.serverAddress) == .served)
        #expect(try answer(gateway, about: gateway.serverAddress.with(port: 1)) == .unserved)
        #expect(try gateway.server.accept() == nil && gateway.ask(\.liveSessions) == 0)
    }

    @Test("a front's port is served, for as long as the gateway runs")
    func front() throws {
        let gateway = try GatewayUnderTest(allow: "192.0.2.1:1", hasFront: true)
        #expect(try answer(gateway, about: try #require(gateway.front)) == .served)
    }

    @Test("what is offered is connected to, and said to be so")
    func offered() throws {
        let gateway = try GatewayUnderTest(allow: "192.0.2.1:1")
        var other: OfferChannel?
        let offer = Offer(SocketAddress(host: .v4(0), port: gateway.serverAddress.port), in: nil)
        let mine = try OfferChannel.make(for: offer, gateway: &other)
        guard let theirs = other.take() else { throw Errno.badFileDescriptor }
        let number = try theirs.descriptor.duplicate().release()
        _ = gateway.ask { $0.offers.adopt(OfferChannel(adopting: Descriptor(owning: number)), EscrowKey(99)) }
        #expect(try answer(gateway, about: gateway.serverAddress) == .offered)
        let opener = try HandMadeOpener(gateway.address)
        opener.say(try HandMadeSession(2, to: gateway.serverAddress).greeting)
        #expect(try opener.hear()?.header.type == .opened)
        guard let accepted = try gateway.server.accept() else { throw Errno.timedOut }
        let leg = try accepted.remoteAddress()
        let client = try opener.localAddress()
        #expect(gateway.ask { $0.clients[leg] } == client, "the server may ask who it is")
        let seen = mine.state
        #expect(seen.isTaken)
    }

    @Test("a question with more behind it, or without a destination, is none")
    func malformed() throws {
        let gateway = try GatewayUnderTest()
        let session = try HandMadeSession(1, to: gateway.serverAddress)
        let ask = AskMessage(destination: session.open.destination).encoded
        for words in [ask + ask, FrameHeader(type: .ask).encodedBytes, FrameHeader(type: .answer).encodedBytes] {
            let opener = try HandMadeOpener(gateway.address)
            opener.say(Wire.preface + words)
            #expect(try opener.hear()?.code == RefusedMessage.Code.malformed.rawValue)
        }
    }
}
