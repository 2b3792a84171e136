import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import TestSupport
import Testing
import Transport

@testable import Gateway

/// What comes with the first flight of TLS, where somebody can record it and deliver it again.
@Suite("Early data")
struct EarlyDataTests {
    private let directory: TemporaryDirectory
    private let gateway: GatewayUnderTest
    private let context: TLSContext

    init() throws {
        directory = try TemporaryDirectory()
        gateway = try GatewayUnderTest(state: directory.state)
        context = try TLSContext(.client, identity: try Identity.generate())
    }

    /// Of a link that is there.
    private func ticket(_ opener: HandMadeOpener) throws -> SessionTicket {
        guard let ticket = opener.link.takeTicket() else { throw Errno.noData }
        return ticket
    }

    @Test("an ATTACH is answered, and the link goes on")
    func attach() throws {
        let (session, first) = try gateway.openSession(over: context)
        let second = try HandMadeOpener(
            gateway.address, over: context, resuming: try ticket(first), early: try session.attach(link: 1, epoch: 1))
        let isAccepted = second.link.earlyDataIsAccepted
        #expect(isAccepted)
        let areResumed = [first.link.isResumed, second.link.isResumed]
        #expect(areResumed == [false, true])
        let answer = try second.hear()
        #expect(answer?.header.type == .attached && answer?.header.flags == 0)
        second.expectAlive()
        first.expectAlive()
    }

    @Test("an OPEN is refused, and nothing is connected to")
    func open() throws {
        let (_, first) = try gateway.openSession(over: context)
        let served = try gateway.server.accept()
        let other = try HandMadeSession(2, to: gateway.serverAddress)
        let second = try HandMadeOpener(
            gateway.address, over: context, resuming: try ticket(first), early: other.greeting)
        #expect(try second.hear()?.code == RefusedMessage.Code.malformed.rawValue)
        let target = try gateway.server.accept()
        let isNobodyThere = target == nil
        #expect(isNobodyThere)
        first.expectAlive()
        _ = consume served
    }

    @Test("an ATTACH with something behind it joins nothing")
    func more() throws {
        let (session, first) = try gateway.openSession(over: context)
        let ping = FrameHeader(type: .ping, offset: 1).encodedBytes
        let second = try HandMadeOpener(
            gateway.address, over: context, resuming: try ticket(first),
            early: try session.attach(link: 1, epoch: 1) + ping)
        #expect(try second.hear()?.header.type == .refused)
        first.expectAlive()
        // Its epoch does not count.
        let third = try HandMadeOpener(gateway.address, over: context)
        third.say(try session.attach(link: 1, epoch: 1))
        #expect(try third.hear()?.header.flags == 0)
    }

    /// Somebody on the path has it before the gateway does, and delivers it himself, again and again.
    @Test("a captured first flight takes nothing over")
    func captured() throws {
        let (session, first) = try gateway.openSession(over: context)
        let listener = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))
        let opener = Link(
            tls: try TLSConnection(
                client: context, try TCPSocket.dial(try listener.localAddress(), profile: .local), accepting: .any,
                resuming: try ticket(first)))
        opener.sendEarly(try session.attach(link: 1, epoch: 1))
        // On loopback, what was written is there to be read.
        let progress = opener.handshake()
        let isResumed = opener.isResumed
        #expect(progress == .needsRead && isResumed == nil)
        let attacker = try listener.accept()
        var flight: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 4096)
        while case .bytes(let count) = room.withUnsafeMutableBytes({ attacker?.receive(into: $0) ?? .wouldBlock }) {
            flight += room[..<count]
        }
        for _ in 0..<3 {
            let delivery = try HandMadeOpener(gateway.address)
            delivery.say(flight)
            // Something that only who has the ticket can read.
            #expect(try delivery.receive()?.isEmpty == false)
            first.expectAlive()
        }
        // The opener goes on with another link, of a higher epoch.
        let second = try HandMadeOpener(gateway.address, over: context)
        second.say(try session.attach(link: 2, epoch: 2))
        #expect(try second.hear()?.header.flags == 0)
        first.expectAlive()
        second.expectAlive()
    }
}
