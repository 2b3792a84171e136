import Testing

@testable import SessionProtocol

/// Rule 1.
@Suite struct OpeningTests {
    @Test func rule1Opens() {
        let pair = Pair()
        #expect(pair.opener.session.isOpen && pair.opener.session.state == .active)
        #expect(pair.acceptor?.session.state == .active)
        #expect(pair.opener.session.instance == Pair.instance)
        #expect(pair.sent.first?.by == .opener && pair.sent.first?.header.type == .ack, "the opener speaks first")
    }

    @Test func rule1NothingIsSentBeforeOPENED() {
        var session = Session.opener(Samples.open, SessionConfiguration(seed: 1), Instant(nanoseconds: 0))
        session.applicationWrote(100)
        #expect(session.nextEffect() == .dial(1, PathID(0)))
        session.linkConnected(1, roundTrip: nil, Instant(nanoseconds: 0))
        let frames = (0..<3).map { _ in session.nextFrame(on: 1, Instant(nanoseconds: 0), maximumData: 100) }
        #expect(frames == [.handshake(Wire.preface), .handshake(Samples.open.encoded), nil])
    }

    @Test(arguments: [FrameType.data, .ack, .fin, .abort, .ping, .attached, .leave])
    func rule1NothingButTheAnswerIsTakenBeforeIt(_ type: FrameType) {
        var session = Session.opener(Samples.open, SessionConfiguration(seed: 1), Instant(nanoseconds: 0))
        _ = session.nextEffect()
        session.linkConnected(1, roundTrip: nil, Instant(nanoseconds: 0))
        let bytes = Wire.preface + FrameHeader(type: type).encodedBytes
        var cursor = 0
        let result = session.receive(on: 1, bytes.span.bytes, &cursor, Instant(nanoseconds: 0))
        guard case .linkFailed(.frame(.unexpected(type))) = result else {
            Issue.record("\(type) was taken: \(result)")
            return
        }
    }

    @Test func rule1RefusalEndsTheSession() {
        var session = Session.opener(Samples.open, SessionConfiguration(seed: 1), Instant(nanoseconds: 0))
        _ = session.nextEffect()
        session.linkConnected(1, roundTrip: nil, Instant(nanoseconds: 0))
        let refused = RefusedMessage(code: .connectionRefused, text: "nobody listens")
        let bytes = Wire.preface + refused.encoded
        var cursor = 0
        _ = session.receive(on: 1, bytes.span.bytes, &cursor, Instant(nanoseconds: 0))
        #expect(session.nextEffect() == .close(1))
        // `usl forward` has a leg already.
        #expect(session.nextEffect() == .resetLeg)
        #expect(session.nextEffect() == .ended(.refused(refused)))
        #expect(session.nextEffect() == nil && session.deadline == nil)
    }

    /// A dial that the driver puts off has no rival and no limit until it begins.
    @Test func aDialThatIsPutOffIsWaitedFor() {
        let start = Instant(nanoseconds: 1_000_000_000)
        var session = Session.opener(Samples.open, SessionConfiguration(seed: 1), start)
        #expect(session.nextEffect() == .dial(1, PathID(0)))
        session.dialPutOff(1, start)
        let late = start + Session.handshakeLimit * 3
        session.tick(late)
        #expect(session.nextEffect() == nil && session.knows(1))
        let isWanted = session.dialBegins(1, late)
        #expect(isWanted && session.deadline.map { $0 > late && $0 <= late + Session.handshakeLimit } == true)
        session.tick(late + Session.handshakeLimit)
        #expect(!session.knows(1))
        let isStillWanted = session.dialBegins(1, late + Session.handshakeLimit)
        #expect(!isStillWanted)
    }

    /// OPENED was lost: OPEN is repeated, and the link attaches like any other.
    @Test func rule1RepeatedOPENAttaches() {
        var pair = Pair(opens: false)
        guard pair.opener.session.nextEffect() == .dial(1, PathID(0)) else {
            Issue.record("no dial")
            return
        }
        // The first OPEN reaches the gateway, its answer nobody.
        pair.opener.session.linkConnected(1, roundTrip: nil, pair.now)
        var decoder = FrameDecoder()
        var cursor = 0
        let flight = Wire.preface + Samples.open.encoded
        while case .some(let event) = try? decoder.next(flight.span.bytes, &cursor), event != .needMore {}
        pair.acceptor = Pair.End(
            session: .acceptor(
                Pair.id, instance: Pair.instance, opened: pair.openedFrame, link: decoder,
                SessionConfiguration(seed: 2), pair.now))
        pair.acceptor?.session.linkLost(0, .closed, pair.now)
        pair.opener.session.linkLost(1, .closed, pair.now)
        pair.exchange()
        pair.wait(.seconds(1))
        #expect(pair.opener.session.isOpen && pair.sealed.count == 2)
        pair.write(.acceptor, 10)
        #expect(pair.opener.delivered == pair.acceptor?.written)
    }

    /// The acceptor may take the second OPEN for the first, whose link then is its link 0.
    @Test func rule1LinkThatCarriedOPENMayATTACH() {
        var pair = Pair(opens: false)
        guard pair.opener.session.nextEffect() == .dial(1, PathID(0)) else {
            Issue.record("no dial")
            return
        }
        pair.opener.session.linkConnected(1, roundTrip: nil, pair.now)
        pair.opener.session.linkLost(1, .closed, pair.now)
        pair.exchange()
        pair.wait(.milliseconds(150))
        #expect(pair.opener.session.isOpen && pair.wires.first?.opener == 2 && pair.wires.first?.acceptor == 2)
        #expect(pair.sealed.count == 2, "an ATTACH and an ATTACHED")
        pair.write(.opener, 10)
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    @Test func rule1SilentOpenerLosesTheSession() {
        var session = Session.acceptor(
            Pair.id, instance: 1, opened: [], link: FrameDecoder(), SessionConfiguration(seed: 1),
            Instant(nanoseconds: 0))
        #expect(session.deadline == Instant(nanoseconds: 10_000_000_000))
        session.tick(Instant(nanoseconds: 10_000_000_000))
        #expect(session.nextEffect() == .resetLeg)
        #expect(session.nextEffect() == .ended(.unconfirmed))
        #expect(session.epitaph?.reason == .expired)
    }

    @Test func rule1WrongProofOfOPENEDIsNoEnd() {
        var pair = Pair(opens: false)
        let unsealed = OpenedMessage(keyShare: Samples.share(9), instance: 1, suspendLimit: 1).unsealed(
            answering: Samples.open.encoded)
        _ = pair.opener.session.nextEffect()
        pair.opener.session.linkConnected(1, roundTrip: nil, pair.now)
        pair.wires.append(Pair.Wire(opener: 1))
        pair.receive(Wire.preface + unsealed.sealed(with: Samples.proof(of: [], key: 9)), at: .opener, 1)
        #expect(!pair.opener.session.isOpen && pair.opener.session.lastFailure == .unproven)
        pair.exchange()
        pair.wait(.milliseconds(150))
        let isOpen = pair.opener.session.isOpen
        #expect(isOpen)
    }

    @Test func openingIsBoundedInTime() {
        var pair = Pair(suspendLimit: .seconds(60), opens: false)
        pair.hasPath = false
        pair.exchange()
        pair.wait(.seconds(59))
        #expect(pair.opener.ending == nil && pair.opener.session.state == .opening)
        pair.wait(.seconds(2))
        #expect(pair.opener.ending == .expired)
    }

    /// A dial without an answer has others beside it, a few; the first one is given up after its time.
    @Test func dialThatHangsHasRivals() {
        var session = Session.opener(Samples.open, SessionConfiguration(seed: 1), Instant(nanoseconds: 0))
        var now = Instant(nanoseconds: 0)
        var effects: [(Effect, Instant)] = []
        while now <= Instant(nanoseconds: 10_000_000_000), let due = session.deadline {
            while let effect = session.nextEffect() { effects.append((effect, now)) }
            now = due
            session.tick(now)
        }
        let path = PathID(0)
        let first = effects.prefix(4).map(\.0)
        #expect(first == [.dial(1, path), .dial(2, path), .dial(3, path), .dial(4, path)])
        #expect(effects.prefix(4).map(\.1.nanoseconds) == [0, 1_000_000_000, 2_000_000_000, 3_000_000_000])
        #expect(effects.dropFirst(4).first?.0 == .close(1) && session.lastFailure == .handshakeTimeout)
    }
}
