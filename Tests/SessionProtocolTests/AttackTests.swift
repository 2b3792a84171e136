import Testing

@testable import SessionProtocol

/// The attack list of the design, as far as it is the core's: none of these changes what becomes of a session.
@Suite struct AttackTests {
    private func claim(_ frame: [UInt8]) throws -> Unverified<AttachClaim> {
        try AttachClaim.decode(FrameHeader(frame: frame), frame.payload)
    }

    private func expectUnharmed(_ pair: inout Pair) {
        pair.exchange()
        pair.wait(.milliseconds(150))
        pair.write(.opener, 100)
        pair.write(.acceptor, 100)
        #expect(pair.acceptor?.delivered == pair.opener.written && pair.opener.delivered == pair.acceptor?.written)
        #expect(pair.opener.ending == nil && pair.acceptor?.ending == nil)
    }

    @Test func wrongKey() throws {
        var pair = Pair()
        let answer = pair.join(try claim(Samples.sealed(Samples.claim(.opener, link: 7), key: 1)), Samples.decoder)
        #expect(answer == nil && pair.acceptor?.session.highestEpoch == 0)
        expectUnharmed(&pair)
    }

    @Test func replayedATTACH() throws {
        var pair = Pair()
        pair.reconnect()
        let attach = try #require(pair.sealed.first)
        for _ in 0..<3 {
            guard case .stale = pair.join(try claim(attach), Samples.decoder) else {
                Issue.record("a replayed ATTACH has joined")
                return
            }
        }
        expectUnharmed(&pair)
    }

    /// A replayed ATTACH is answered with positions; that must not pass for the acknowledgement that is due.
    @Test func replayedATTACHSwallowsNoAcknowledgement() throws {
        var pair = Pair()
        pair.reconnect()
        let attach = try #require(pair.sealed.first)
        pair.write(.opener, 10)
        _ = pair.join(try claim(attach), Samples.decoder)
        pair.wait(.milliseconds(20))
        #expect(pair.opener.session.acknowledged == 10)
    }

    /// Somebody delivers a captured ATTACH first: it joins, and no more; the opener takes another number and epoch.
    @Test func capturedFirstFlight() throws {
        var pair = Pair()
        pair.hasPath = false
        pair.cutAtOpener()
        pair.wires.removeAll()
        let captured = Samples.sealed(Samples.claim(.opener, link: 1, epoch: 1))
        guard case .joined = pair.join(try claim(captured), Samples.decoder) else {
            Issue.record("not joined")
            return
        }
        pair.hasPath = true
        pair.wait(.seconds(1))
        #expect(pair.opener.session.hasLink && pair.opener.session.highestEpoch == 2)
        expectUnharmed(&pair)
    }

    @Test func reflectedProof() throws {
        var pair = Pair()
        pair.reconnect()
        var attached = try #require(pair.sealed.last)
        #expect(attached[0] == FrameType.attached.rawValue)
        attached[0] = FrameType.attach.rawValue
        let answer = pair.join(try claim(attached), Samples.decoder)
        #expect(answer == nil)
        expectUnharmed(&pair)
    }

    /// One that was heard before is of another link; one of this link's number, by an acceptor that has lost its memory, is
    /// of another epoch.
    @Test(arguments: [false, true]) func replayedATTACHED(isOfThisLink: Bool) throws {
        var pair = Pair()
        pair.reconnect()
        var old = try #require(pair.sealed.last)
        pair.hasPath = false
        pair.cut()
        pair.opener.session.networkChanged(pair.now)
        let effects = (0..<4).compactMap { _ in pair.opener.session.nextEffect() }
        let number = effects.lazy.compactMap { effect -> LinkNumber? in
            guard case .dial(let number, _) = effect else { return nil }
            return number
        }.first
        let link = try #require(number)
        pair.opener.session.linkConnected(link, roundTrip: nil, pair.now)
        pair.wires.append(Pair.Wire(opener: link))
        _ = pair.opener.session.nextEffect()
        _ = pair.opener.session.attachClaim(on: link)
        if isOfThisLink { old = Samples.sealed(Samples.claim(.acceptor, link: link, epoch: 1)) }
        pair.receive(Wire.preface + old, at: .opener, link)
        #expect(!pair.opener.session.hasLink && pair.opener.session.lastFailure == .unproven)
        pair.hasPath = true
        pair.wait(.seconds(1))
        expectUnharmed(&pair)
    }

    @Test func epochAtTheTop() {
        var pair = Pair()
        pair.hasPath = false
        pair.cut()
        pair.opener.session.lastEpoch = 5
        pair.opener.session.networkChanged(pair.now)
        while let effect = pair.opener.session.nextEffect() {
            guard case .dial(let number, _) = effect else { continue }
            pair.opener.session.linkConnected(number, roundTrip: nil, pair.now)
            pair.wires.append(Pair.Wire(opener: number))
            _ = pair.opener.session.nextEffect()
            _ = pair.opener.session.attachClaim(on: number)
            let stale = Samples.claim(.acceptor, link: number, epoch: .max, isStale: true)
            pair.receive(Wire.preface + Samples.sealed(stale), at: .opener, number)
        }
        #expect(pair.opener.session.lastFailure == .staleEpoch && pair.opener.session.highestEpoch == 6)
    }

    /// Another machine at the gateway's address knows nothing of the session, and says so.
    @Test func goneOfAnotherGateway() {
        var pair = Pair()
        let gone = GoneMessage(reason: .unknown, instance: Pair.instance + 1, positions: nil)
        pair.receive(gone.encoded, at: .opener, 1)
        #expect(pair.opener.session.lastFailure == .otherInstance)
        expectUnharmed(&pair)
    }

    @Test(arguments: 0..<24)
    func truncatedFrame(_ count: Int) {
        var pair = Pair()
        let header = FrameHeader(type: .data, length: 50, offset: 0).encodedBytes
        pair.receive(Array(header.prefix(count)), at: .acceptor, 1)
        pair.reconnect()
        expectUnharmed(&pair)
    }

    @Test func truncatedData() {
        var pair = Pair()
        pair.opener.written = Array(0..<50)
        pair.opener.session.applicationWrote(50)
        guard case .data(let header, _) = pair.opener.session.nextFrame(on: 1, pair.now, maximumData: 100) else {
            Issue.record("no data")
            return
        }
        pair.receive(header.encodedBytes + pair.opener.written.prefix(20), at: .acceptor, 1)
        pair.exchange()
        #expect(pair.acceptor?.delivered.count == 20, "pieces of a frame do not wait for the rest")
        pair.reconnect()
        expectUnharmed(&pair)
    }

    @Test(arguments: [FrameType.data, .open, .opened, .refused, .attached, .attach])
    func frameWithoutAPlace(_ type: FrameType) {
        var pair = Pair()
        let bytes = FrameHeader(type: type, length: type == .data ? 65_537 : 0).encodedBytes
        pair.receive(bytes, at: .opener, 1)
        #expect(pair.opener.session.lastFailure != nil)
        expectUnharmed(&pair)
    }

    /// A peer that asks for answers and does not read them must not make them pile up.
    @Test func answersDoNotPileUp() {
        var pair = Pair()
        pair.write(.acceptor, 1)
        pair.silence()
        let abort = FrameHeader(type: .abort, offset: 0, acknowledged: 0).encodedBytes
        for _ in 0..<1_000 {
            pair.receive(abort, at: .opener, 1)
            pair.receive(FrameHeader(type: .ping).encodedBytes, at: .opener, 1)
        }
        #expect(pair.opener.session.links.first.map { $0.handshake.count } == 1)
    }
}
