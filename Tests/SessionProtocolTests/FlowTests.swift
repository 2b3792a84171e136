import Testing

@testable import SessionProtocol

/// Rules 4, 5 and 10.
@Suite struct FlowTests {
    @Test func rule4SenderStopsAtTheWindow() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 200_000)
        #expect(pair.acceptor?.held.count == 65_536)
        #expect(pair.opener.session.hasUnsent)
        pair.read(.acceptor)
        pair.wait(.seconds(1))
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    @Test func rule4ControlPassesAFullWindow() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 65_536)
        pair.finish(.opener)
        #expect(pair.acceptor?.session.receivedPosition == 65_537, "FIN needs no window")
        pair.receive(FrameHeader(type: .ping, offset: 42).encodedBytes, at: .acceptor, 1)
        pair.exchange()
        #expect(pair.sent.last?.header.type == .pong && pair.sent.last?.header.offset == 42)
    }

    @Test func rule5AcknowledgesAfter20Milliseconds() {
        var pair = Pair()
        pair.write(.opener, 10)
        pair.sent = []
        pair.wait(.milliseconds(19))
        #expect(pair.sent.isEmpty)
        pair.wait(.milliseconds(1))
        #expect(pair.sent.map { $0.header.type } == [.ack] && pair.sent.first?.header.acknowledged == 10)
        pair.wait(.milliseconds(200))
        #expect(pair.sent.count == 1)
    }

    @Test func rule5AcknowledgementRidesOnData() {
        var pair = Pair()
        pair.write(.opener, 10)
        pair.write(.acceptor, 10)
        #expect(pair.opener.session.acknowledged == 10)
        pair.sent = []
        pair.wait(.milliseconds(20))
        #expect(pair.sent.map { $0.by } == [.opener], "the acceptor's went with its data")
    }

    @Test func rule5AcknowledgesAQuarterOfTheWindowAtOnce() {
        var pair = Pair()
        pair.write(.opener, 16_383)
        #expect(pair.opener.session.acknowledged == 0)
        pair.write(.opener, 1)
        #expect(pair.opener.session.acknowledged == 16_384)
    }

    @Test func rule10SilentLinksArePinged() {
        var pair = Pair()
        pair.sent = []
        pair.wait(.seconds(14))
        #expect(pair.sent.isEmpty)
        pair.wait(.seconds(2))
        #expect(pair.sent.contains { $0.header.type == .ping })
        #expect(pair.sent.contains { $0.header.type == .pong })
        #expect(pair.opener.session.roundTrip(of: 1) == .zero)
    }

    @Test func networkChangeDialsAtOnce() {
        var pair = Pair()
        pair.hasPath = false
        pair.cut()
        pair.wait(.seconds(60))
        pair.hasPath = true
        #expect(pair.opener.session.state == .suspended && pair.acceptor?.session.state == .suspended)
        pair.opener.session.networkChanged(pair.now)
        pair.exchange()
        #expect(pair.opener.session.state == .active && pair.acceptor?.session.state == .active)
    }

    /// A session that moves nothing is not punished for resets that are far apart; for a link that dies at once it is.
    @Test func idleSessionDialsAtOnce() {
        var pair = Pair()
        for _ in 0..<5 {
            pair.wait(.seconds(2))
            pair.cut()
            #expect(pair.opener.session.hasLink)
        }
        pair.cut()
        #expect(!pair.opener.session.hasLink)
        pair.wait(.milliseconds(60))
        #expect(pair.opener.session.hasLink)
    }

    @Test func suspensionIsLimited() {
        var pair = Pair(suspendLimit: .seconds(60))
        pair.hasPath = false
        pair.cut()
        let since = pair.now
        #expect(pair.opener.session.suspendedSince == since && pair.opener.session.reason == "link-closed")
        pair.wait(.seconds(59))
        #expect(pair.opener.ending == nil && pair.acceptor?.ending == nil)
        pair.wait(.seconds(1))
        #expect(pair.opener.ending == .expired && pair.acceptor?.ending == .expired)
        #expect(pair.opener.isReset && pair.acceptor?.isReset == true)
    }
}
