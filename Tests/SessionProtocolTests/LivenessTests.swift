import Testing

@testable import SessionProtocol

/// Rule 10: links that fail in silence.
@Suite struct LivenessTests {
    private func after(_ interval: Interval) -> Instant { Instant(nanoseconds: 0) + interval }

    private func vitals(
        _ acknowledged: UInt64 = 0, waiting: Bool = true, retransmissions: UInt32 = 0, roundTrip: Interval? = nil
    ) -> LinkVitals {
        LinkVitals(
            acknowledged: acknowledged, hasUnacknowledged: waiting, retransmissions: retransmissions,
            roundTrip: roundTrip)
    }

    @Test func aSilentLinkGetsARivalWithinTwoPatiences() {
        var pair = Pair()
        pair.write(.opener, 100)
        pair.wait(.seconds(1))
        pair.silence()
        pair.write(.opener, 100)
        pair.wait(.milliseconds(1_100))
        #expect(pair.opener.session.reconnects == 1 && pair.opener.session.state == .active)
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    /// Only the acceptor has something to say: the PING behind the last bytes finds out.
    @Test func aDownloadThatFallsSilentIsNoticed() {
        var pair = Pair()
        pair.write(.acceptor, 100)
        pair.silence()
        pair.write(.acceptor, 100)
        pair.wait(.milliseconds(1_100))
        #expect(pair.opener.delivered == pair.acceptor?.written)
    }

    /// One PING in fifteen seconds is enough for both ends, and those of many sessions leave together.
    @Test func idleEndsDoNotBothAsk() {
        var pair = Pair()
        pair.write(.opener, 100)
        pair.wait(.milliseconds(777))
        pair.sent = []
        var times: [Instant] = []
        for _ in 0..<36_000 {
            let before = pair.sent.count { $0.header.type == .ping }
            pair.wait(.milliseconds(100))
            if pair.sent.count(where: { $0.header.type == .ping }) > before { times.append(pair.now) }
        }
        #expect(pair.sent.allSatisfy { $0.header.type != .ping || $0.by == .opener })
        #expect((238...242).contains(times.count), "\(times.count) in an hour")
        let phases = Set(times.dropFirst().map { $0.nanoseconds % Session.pingPace.nanoseconds })
        #expect(phases.count == 1)
    }

    /// An opener that is stopped, or whose own link is silent, is asked by the other end.
    @Test func anAcceptorAsksWhenItHasHeardNothing() {
        var pair = Pair()
        pair.write(.opener, 100)
        pair.sent = []
        pair.waitWithoutOpener(Session.acceptorPing + .milliseconds(100))
        #expect(pair.sent.count { $0.by == .acceptor && $0.header.type == .ping } == 1)
    }

    @Test func aPeerThatDoesNotReadIsAskedAndLeftAlone() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 65_536)
        pair.sent = []
        pair.wait(.seconds(3600))
        #expect(pair.opener.session.reconnects == 0 && pair.wires.count == 1)
        // Every five seconds, since the opener waits for an acknowledgement.
        #expect(pair.sent.count { $0.by == .opener && $0.header.type == .ping } <= 3600 / 5 + 2)
        pair.read(.acceptor)
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    /// A dead link says nothing by itself while the opener waits for an acknowledgement on it.
    @Test func anAwaitedAcknowledgementIsAskedFor() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 65_536)
        pair.wait(.seconds(1))
        pair.silence()
        pair.read(.acceptor)
        #expect(pair.opener.session.acknowledged == 0)
        pair.wait(Session.waitingPing + .milliseconds(600))
        #expect(pair.opener.session.acknowledged == 65_536)
    }

    @Test func aSuspectLinkThatAnswersFirstStays() {
        var pair = Pair()
        pair.silence(PathID(0))
        pair.write(.opener, 100)
        pair.wait(.milliseconds(1_100))
        #expect(pair.opener.session.state == .suspended && pair.opener.session.reason == "silent")
        #expect(pair.opener.session.linkState(1) == "suspect")
        pair.heal(PathID(0))
        // The bytes themselves were lost by this network, which TCP would have repeated: the acceptor speaks.
        pair.receive(FrameHeader(type: .ack).encodedBytes, at: .opener, 1)
        #expect(pair.opener.session.state == .active && pair.opener.session.reason == nil)
        #expect(pair.opener.session.reconnects == 0)
    }

    /// One that has answered after all, and falls silent again with nothing more to be sent, is suspect again in time.
    @Test func aLinkThatAnsweredIsStillWatched() {
        var pair = Pair()
        pair.silence(PathID(0))
        pair.write(.opener, 100)
        pair.wait(.milliseconds(1_100))
        #expect(pair.opener.session.linkState(1) == "suspect")
        pair.receive(FrameHeader(type: .ack).encodedBytes, at: .opener, 1)
        #expect(pair.opener.session.linkState(1) == "current")
        pair.wait(.milliseconds(1_100))
        #expect(pair.opener.session.linkState(1) == "suspect")
    }

    @Test func aLinkWhoseAddressIsGoneIsSuspectAtOnce() {
        var pair = Pair()
        pair.silence()
        pair.write(.opener, 100)
        pair.opener.session.suspect(1, pair.now)
        pair.exchange()
        #expect(pair.opener.session.reconnects == 1 && pair.acceptor?.delivered.count == 100)
    }

    @Test func checkedLinksArePingedAtOnce() {
        var pair = Pair()
        pair.sent = []
        pair.opener.session.checkLinks(pair.now)
        pair.exchange()
        #expect(pair.sent.map { $0.header.type } == [.ping, .pong])
    }

    // MARK: The judgement itself

    @Test func retransmissionsWithoutAcknowledgementMakeSuspect() {
        var link = Liveness(after(.zero))
        link.sampleRoundTrip(.milliseconds(10), after(.zero))
        link.exchanged(after(.zero))
        #expect(link.examinationDue == after(.milliseconds(30)))
        let verdicts = [
            link.examined(vitals(), after(.milliseconds(30))),
            link.examined(vitals(retransmissions: 1), after(.milliseconds(60))),
            link.examined(vitals(retransmissions: 2), after(.milliseconds(89))),
            link.examined(vitals(retransmissions: 2), after(.milliseconds(90))),
        ]
        #expect(verdicts == [.fine, .fine, .fine, .turnedSuspect])
    }

    @Test func progressOfTheTransportSpeaksForALink() {
        var link = Liveness(after(.zero))
        link.exchanged(after(.zero))
        var now = after(.zero)
        for step in 1...100 as ClosedRange<UInt64> {
            now = after(.milliseconds(step * 300))
            let verdict = link.examined(vitals(step, retransmissions: UInt32(step)), now)
            #expect(verdict == .fine, "a slow queue moves")
        }
    }

    /// What was acknowledged between the last examination and the silence does not put the PING off.
    @Test func oldProgressSaysNothingOfANewSilence() {
        var link = Liveness(after(.zero))
        link.exchanged(after(.zero))
        _ = link.examined(vitals(10, waiting: false), after(.milliseconds(20)))
        _ = link.heard(after(.seconds(5)))
        link.exchanged(after(.seconds(5)))
        _ = link.examined(vitals(20), after(.milliseconds(5_100)))
        let verdict = link.examined(vitals(20), after(.milliseconds(5_500)))
        #expect(verdict == .wantsPing)
    }

    /// A peer that could not write for a while answers the last of several PINGs alone.
    @Test func theAnswerToALaterPingCounts() {
        var link = Liveness(after(.zero))
        link.exchanged(after(.zero))
        link.pinged(after(.milliseconds(1)))
        link.pinged(after(.milliseconds(2)))
        _ = link.heard(after(.milliseconds(3)))
        link.ponged(after(.milliseconds(2)), after(.milliseconds(3)))
        #expect(link.state == .quiet)
    }

    @Test func aLongRoundTripIsNoSilence() {
        var link = Liveness(after(.zero))
        link.sampleRoundTrip(.seconds(2), after(.zero))
        link.exchanged(after(.zero))
        let early = link.examined(vitals(), after(.milliseconds(3_999)))
        let due = link.examined(vitals(), after(.seconds(4)))
        link.pinged(after(.seconds(4)))
        let waiting = link.examined(vitals(), after(.milliseconds(7_999)))
        let over = link.examined(vitals(), after(.seconds(8)))
        #expect([early, due, waiting, over] == [.fine, .wantsPing, .fine, .turnedSuspect])
    }

    /// The PONG of a PING answers for what went before it, not for what followed.
    @Test func anOvertakenPingIsAskedAgain() {
        var link = Liveness(after(.zero))
        link.exchanged(after(.zero))
        link.pinged(after(.milliseconds(1)))
        link.exchanged(after(.milliseconds(2)))
        _ = link.heard(after(.milliseconds(3)))
        link.ponged(after(.milliseconds(1)), after(.milliseconds(3)))
        #expect(link.state == .busy)
        link.pinged(after(.milliseconds(4)))
        _ = link.heard(after(.milliseconds(5)))
        link.ponged(after(.milliseconds(4)), after(.milliseconds(5)))
        #expect(link.state == .quiet && link.examinationDue == nil)
    }

    /// A PING that cannot leave, since the socket's buffer is full, keeps nobody busy.
    @Test func aPingThatCannotLeaveIsWantedOnce() {
        var link = Liveness(after(.zero))
        link.exchanged(after(.zero))
        let first = link.examined(vitals(waiting: false), after(.milliseconds(500)))
        #expect(first == .wantsPing && link.examinationDue == after(.seconds(1)))
    }
}
