import Testing

@testable import SessionProtocol

/// Rules 2, 3 and 6.
@Suite struct ResumptionTests {
    @Test func rule2LostBytesAreSentAgain() {
        var pair = Pair()
        pair.write(.opener, 1_000)
        pair.silence()
        pair.write(.opener, 500)
        pair.write(.acceptor, 300)
        #expect(pair.acceptor?.delivered.count == 1_000)
        pair.reconnect()
        #expect(pair.acceptor?.delivered == pair.opener.written)
        #expect(pair.opener.delivered == pair.acceptor?.written)
        #expect(pair.opener.session.reconnects == 1 && pair.acceptor?.session.reconnects == 1)
    }

    @Test func rule2OnlyWhatTheOtherEndLacksIsSentAgain() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 1_000)
        pair.silence()
        pair.write(.opener, 500)
        pair.sent = []
        pair.reconnect()
        let data = pair.sent.filter { $0.header.type == .data }
        #expect(data.map { $0.header.offset } == [1_000] && data.map { $0.header.length } == [500])
        pair.read(.acceptor)
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    @Test func rule2LostFinIsSentAgain() {
        var pair = Pair()
        pair.silence()
        pair.finish(.opener)
        #expect(pair.acceptor?.sawEOF == false)
        pair.reconnect()
        #expect(pair.acceptor?.sawEOF == true)
    }

    @Test func rule2WhatComesEarlyIsHeld() {
        var pair = Pair()
        let early = FrameHeader(type: .data, length: 5, offset: 5).encodedBytes + (5..<10).map { pair.byte(at: $0) }
        pair.receive(early, at: .acceptor, 1)
        #expect(pair.acceptor?.session.receivedPosition == 0)
        let first = FrameHeader(type: .data, length: 5, offset: 0).encodedBytes + (0..<5).map { pair.byte(at: $0) }
        pair.receive(first, at: .acceptor, 1)
        #expect(pair.acceptor?.session.receivedPosition == 10)
    }

    // MARK: Positions

    @Test func rule3AcknowledgedBytesAreNotFreedByReceivedPositions() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 1_000)
        pair.reconnect()
        #expect(pair.acceptor?.session.receivedPosition == 1_000)
        #expect(pair.opener.session.acknowledged == 0)
        pair.read(.acceptor)
        pair.wait(.milliseconds(20))
        #expect(pair.opener.session.acknowledged == 1_000)
    }

    @Test(arguments: [FrameHeader(type: .ack, acknowledged: 101), FrameHeader(type: .ping, acknowledged: .max)])
    func rule3AcknowledgementAheadEndsTheSession(_ header: FrameHeader) {
        var pair = Pair()
        pair.write(.opener, 100)
        pair.receive(header.encodedBytes, at: .opener, 1)
        pair.exchange()
        #expect(pair.opener.ending == .violation(.acknowledgedUnsent) && pair.opener.isReset)
        #expect(pair.acceptor?.ending == .gone(.violation) && pair.acceptor?.isReset == true)
    }

    @Test func rule3ReceivedPositionAheadEndsTheSession() throws {
        var pair = Pair()
        pair.write(.acceptor, 100)
        pair.wait(.milliseconds(20))
        let frame = Samples.sealed(Samples.claim(.opener, link: 9, epoch: 1, received: 101))
        let claim = try AttachClaim.decode(FrameHeader(frame: frame), frame.payload)
        guard case .gone(let gone) = pair.join(claim, Samples.decoder) else {
            Issue.record("joined")
            return
        }
        #expect(gone.reason == .violation)
        pair.exchange()
        #expect(pair.acceptor?.ending == .violation(.receivedUnsent))
    }

    @Test func rule3DataBeyondTheWindowEndsTheSession() {
        var pair = Pair()
        let promised = 65_536 as UInt64
        pair.receive(FrameHeader(type: .data, length: 1, offset: promised).encodedBytes + [0], at: .acceptor, 1)
        pair.exchange()
        #expect(pair.acceptor?.ending == .violation(.beyondWindow))
    }

    @Test func rule3DataBeyondFinEndsTheSession() {
        var pair = Pair()
        pair.write(.opener, 10)
        pair.finish(.opener)
        pair.receive(FrameHeader(type: .fin, offset: 9).encodedBytes, at: .acceptor, 1)
        pair.exchange()
        #expect(pair.acceptor?.ending == .violation(.beyondFin))
    }

    // MARK: Joining

    @Test func rule6JoiningIsNotSwitching() throws {
        var pair = Pair()
        let frame = Samples.sealed(Samples.claim(.opener, link: 9, epoch: 5))
        let claim = try AttachClaim.decode(FrameHeader(frame: frame), frame.payload)
        guard case .joined(let answer) = pair.join(claim, Samples.decoder) else {
            Issue.record("not joined")
            return
        }
        #expect(answer.link == 9 && answer.epoch == 5 && answer.role == .acceptor)
        #expect(pair.acceptor?.session.isCurrent(0) == true && pair.acceptor?.session.isCurrent(9) == false)
        pair.write(.acceptor, 10)
        #expect(pair.opener.delivered.count == 10, "the current link carries on")

        // PING and an ordinary ACK change nothing; the opener's turn makes it current, and the other one may still bring
        // bytes.
        for bytes in [FrameHeader(type: .ping).encodedBytes, FrameHeader(type: .ack).encodedBytes] {
            pair.hand(bytes, to: 9)
            #expect(pair.acceptor?.session.isCurrent(9) == false)
        }
        pair.hand(Samples.turn(1 << 40, acknowledged: 10), to: 9)
        #expect(pair.acceptor?.session.isCurrent(9) == true && pair.acceptor?.session.linkState(0) == "joined")
        pair.write(.opener, 20)
        #expect(pair.acceptor?.delivered.count == 20)
    }

    /// Turns are numbered through all links, and the highest counts, whatever comes first.
    @Test(arguments: [[8, 9], [9, 8]] as [[LinkNumber]])
    func rule6TheHighestTurnCounts(_ order: [LinkNumber]) throws {
        var pair = Pair()
        for number in [8, 9] as [LinkNumber] { try pair.joinByHand(number) }
        for number in order { pair.hand(Samples.turn(1 << 40 + UInt64(number)), to: number) }
        #expect(pair.acceptor?.session.linkState(8) == "joined" && pair.acceptor?.session.linkState(9) == "current")
        // A turn is taken once.
        pair.hand(Samples.turn(1 << 40 + 8), to: 8)
        #expect(pair.acceptor?.session.linkState(8) == "joined")
    }

    /// Links that share stay, whichever word comes first; one alone ends the part of those with lower turns.
    @Test(arguments: [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]] as [[LinkNumber]])
    func rule9TurnsMayOvertakeEachOther(_ order: [LinkNumber]) throws {
        var pair = Pair()
        let parts: [LinkNumber: Turn.Part] = [1: .striped, 2: .alone, 3: .striped]
        for number in [1, 2, 3] as [LinkNumber] { try pair.joinByHand(number) }
        for number in order { pair.hand(Samples.turn(1 << 40 + UInt64(number), parts[number]!), to: number) }
        let states = [0, 1, 2, 3].map { pair.acceptor?.session.linkState($0) }
        #expect(states == ["joined", "joined", "current", "current"])
    }

    @Test func rule6LEAVEIsNoFirstFrame() throws {
        var pair = Pair()
        let frame = Samples.sealed(Samples.claim(.opener, link: 9, epoch: 5))
        _ = pair.join(try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder)
        var cursor = 0
        let leave = FrameHeader(type: .leave).encodedBytes
        _ = pair.acceptor?.session.receive(on: 9, leave.span.bytes, &cursor, pair.now)
        #expect(pair.acceptor?.session.isCurrent(0) == true)
        #expect(pair.acceptor?.session.nextFrame(on: 9, pair.now, maximumData: 1) == .end)
    }

    @Test func rule6EpochsAreAcceptedOnce() throws {
        var pair = Pair()
        for (epoch, isNew) in [(5, true), (5, false), (3, true), (3, false), (70, true), (6, false), (7, true)] {
            let frame = Samples.sealed(Samples.claim(.opener, link: LinkNumber(100 + epoch), epoch: Epoch(epoch)))
            switch pair.join(try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder) {
            case .joined: #expect(isNew, "epoch \(epoch)")
            case .stale(let claim):
                #expect(!isNew && claim.isStale && claim.epoch == pair.acceptor?.session.highestEpoch)
            case .gone, nil: Issue.record("epoch \(epoch) ended the session")
            }
        }
    }

    /// An opener that has lost its epochs takes the acceptor's, and dials another link.
    @Test func rule6StaleEpochIsNotFatal() {
        var pair = Pair()
        pair.reconnect()
        pair.reconnect()
        #expect(pair.acceptor?.session.highestEpoch == 2)
        pair.opener.session.lastEpoch = 0
        pair.reconnect()
        pair.wait(.seconds(1))
        #expect(pair.opener.session.highestEpoch == 3 && pair.opener.session.hasLink)
        pair.write(.opener, 5)
        #expect(pair.acceptor?.delivered.count == 5)
    }

    /// What the old link carries is not sent again while it may still arrive; when the old link leaves, it is.
    @Test func rule2CarriedBytesWaitForTheirLink() throws {
        var pair = Pair()
        pair.silence()
        pair.write(.acceptor, 100)
        let frame = Samples.sealed(Samples.claim(.opener, link: 9, epoch: 1))
        _ = pair.join(try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder)
        #expect(pair.acceptor?.session.nextFrame(on: 0, pair.now, maximumData: 1_000) == nil)
        #expect(pair.acceptor?.session.nextFrame(on: 9, pair.now, maximumData: 1_000) == nil)
        pair.hand(FrameHeader(type: .leave).encodedBytes, to: 0)
        pair.hand(Samples.turn(1 << 40), to: 9)
        guard case .data(_, 0..<100) = pair.acceptor?.session.nextFrame(on: 9, pair.now, maximumData: 1_000) else {
            Issue.record("the bytes of the link that left are lost")
            return
        }
    }

    @Test func rule2AcknowledgedBytesAreCarriedByNobody() {
        var pair = Pair()
        pair.write(.opener, 20_000)
        #expect(pair.opener.session.acknowledged == 20_000)
        #expect(pair.opener.session.links.allSatisfy { $0.carried.isEmpty })
    }

    /// The last acknowledgement has left on a link that was dead already: it must be said again on the next one.
    @Test func rule6TheLinkThatBecomesCurrentRepeatsTheAcknowledgement() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 65_536)
        pair.hasPath = false
        pair.cutAtOpener()
        pair.hasPath = true
        // The opener attaches; before its first frame the acceptor delivers, and says so on the dead link.
        pair.opener.session.networkChanged(pair.now)
        pair.read(.acceptor)
        #expect(pair.opener.session.acknowledged == 65_536)
    }

    @Test func rule6AnAcceptorSpeaksWhenALinkBecomesCurrent() throws {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 30_000)
        let frame = Samples.sealed(Samples.claim(.opener, link: 9, epoch: 1))
        _ = pair.join(try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder)
        pair.silence()
        pair.read(.acceptor)
        #expect(pair.sent.last?.on == 0 && pair.sent.last?.header.acknowledged == 30_000)
        pair.hand(Samples.turn(1 << 40), to: 9)
        guard case .header(let header) = pair.acceptor?.session.nextFrame(on: 9, pair.now, maximumData: 1) else {
            Issue.record("nothing is said")
            return
        }
        #expect(header.type == .ack && header.acknowledged == 30_000)
    }

    @Test func anAcceptorHoldsABoundedNumberOfLinks() throws {
        var pair = Pair()
        for number in 1...100 as ClosedRange<LinkNumber> {
            let frame = Samples.sealed(Samples.claim(.opener, link: number, epoch: Epoch(number)))
            _ = pair.join(try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder)
        }
        #expect(pair.acceptor?.session.links.count == Session.maximumLinks)
        #expect(pair.acceptor?.session.isCurrent(0) == true)
    }
}
