import Testing

@testable import SessionProtocol

/// Links whose ATTACH leaves with the transport's first packet, before anybody has answered that.
@Suite struct FirstWordsTests {
    /// An open session without a link, which dials; what it dials is up to the test.
    private func dialled() throws -> (Session, LinkNumber, Instant) {
        var pair = Pair()
        pair.deadPaths = [PathID(0)]
        pair.cut()
        pair.wait(.milliseconds(50))
        let link = try #require(pair.opener.session.links.last)
        #expect(pair.opener.session.linkState(link.number) == "connecting")
        return (pair.opener.session, link.number, pair.now)
    }

    private func effects(_ session: inout Session) -> [Effect] {
        var effects: [Effect] = []
        while let effect = session.nextEffect() { effects.append(effect) }
        return effects
    }

    @Test func attachIsSaidOnce() throws {
        var (session, number, now) = try dialled()
        session.linkTakesFirstWords(number)
        let asked = effects(&session)
        #expect(asked == [.attach(number)])
        let claims = [session.attachClaim(on: number), session.attachClaim(on: number)]
        let claim = try #require(claims[0])
        #expect(claims[1] == nil)
        session.sendAttach([1, 2, 3], on: number)
        #expect(session.linkState(number) == "connecting", "nobody has answered")
        let words = (0..<3).map { _ in session.nextFrame(on: number, now, maximumData: 0) }
        #expect(words == [.handshake(Wire.preface), .handshake([1, 2, 3]), nil])
        session.linkConnected(number, roundTrip: .milliseconds(50), now)
        #expect(session.linkState(number) == "joining")
        #expect(session.links.last?.state == .attaching(claim.epoch))
        let later = effects(&session)
        #expect(!later.contains(.attach(number)) && !session.hasHandshake(number))
    }

    /// It has a rival as soon as any other dial without an answer, and goes when that is connected.
    @Test func isUnansweredUntilConnected() throws {
        var (session, number, now) = try dialled()
        session.linkTakesFirstWords(number)
        _ = effects(&session)
        _ = session.attachClaim(on: number)
        session.tick(now + Path.minimumDialPatience)
        let dials = effects(&session).compactMap { if case .dial(let number, _) = $0 { number } else { nil } }
        let rival = try #require(dials.first)
        session.linkConnected(rival, roundTrip: nil, now + Path.minimumDialPatience)
        let closing = effects(&session)
        #expect(closing.contains(.close(number)))
        #expect(session.linkState(number) == "closed")
    }
}
