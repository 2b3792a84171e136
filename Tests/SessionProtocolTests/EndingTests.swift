import Testing

@testable import SessionProtocol

/// Rules 7 and 8.
@Suite struct EndingTests {
    // MARK: End of stream

    @Test(arguments: [Role.opener, .acceptor])
    func rule7EachDirectionEndsByItself(_ first: Role) {
        var pair = Pair()
        let second: Role = first == .opener ? .acceptor : .opener
        pair.write(first, 10)
        pair.finish(first)
        #expect(pair[second].sawEOF && !pair[first].sawEOF && pair.opener.ending == nil)
        pair.write(second, 20)
        #expect(pair[first].delivered.count == 20)
        pair.finish(second)
        pair.wait(.milliseconds(20))
        #expect(pair[first].sawEOF && pair.opener.ending == .finished && pair.acceptor?.ending == .finished)
        #expect(!pair.opener.isReset && pair.acceptor?.isReset == false)
        #expect(pair.acceptor?.session.epitaph?.reason == .over)
    }

    @Test func rule7ALostLinkIsNoEnd() {
        var pair = Pair()
        pair.hasPath = false
        pair.cut()
        #expect(!pair.opener.sawEOF && pair.acceptor?.sawEOF == false)
        #expect(pair.opener.ending == nil && !pair.opener.isReset)
    }

    /// The acceptor's last word is lost: the opener dials until it has heard it from the tombstone.
    @Test func rule7OpenerDialsUntilItHasTheAnswer() {
        var pair = Pair()
        pair.finish(.opener)
        pair.hasPath = false
        pair.cutAtOpener()
        pair.wires.removeAll()
        pair.acceptor?.session.applicationFinished()
        pair.exchange()
        #expect(pair.opener.ending == nil)
        pair.hasPath = true
        pair.wait(.seconds(1))
        #expect(pair.opener.ending == .finished && pair.acceptor?.ending == .finished)
        #expect(pair.opener.sawEOF && !pair.opener.isReset)
    }

    /// ATTACH itself carries the acknowledgement that the acceptor still waited for.
    @Test func rule7AClaimMayCompleteTheSession() {
        var pair = Pair()
        pair.finish(.opener)
        pair.opener.reads = true
        // The acceptor's FIN arrives, its acknowledgement does not.
        pair.acceptor?.session.applicationFinished()
        let fin = pair.acceptor!.session.nextFrame(on: 0, pair.now, maximumData: 1)
        guard case .header(let header) = fin else {
            Issue.record("no FIN: \(String(describing: fin))")
            return
        }
        pair.receive(header.encodedBytes, at: .opener, 1)
        pair.silence()
        pair.exchange()
        #expect(pair.opener.sawEOF && pair.acceptor?.ending == nil)
        pair.reconnect()
        #expect(pair.acceptor?.ending == .finished && pair.opener.ending == .finished)
    }

    @Test func rule7OpenerWithNothingToLoseWaits30Seconds() {
        var pair = Pair()
        pair.finish(.opener)
        pair.finish(.acceptor)
        #expect(pair.opener.ending == .finished)

        var lonely = Pair()
        lonely.finish(.opener)
        lonely.acceptor?.session.applicationFinished()
        let fin = lonely.acceptor!.session.nextFrame(on: 0, lonely.now, maximumData: 1)
        guard case .header(let header) = fin else {
            Issue.record("no FIN")
            return
        }
        lonely.receive(header.encodedBytes, at: .opener, 1)
        lonely.hasPath = false
        lonely.cutAtOpener()
        lonely.wait(.seconds(29))
        #expect(lonely.opener.ending == nil)
        lonely.wait(.seconds(2))
        #expect(lonely.opener.ending == .finished && !lonely.opener.isReset)
    }

    @Test func rule7GONEBeforeTheEndResets() {
        var pair = Pair()
        pair.write(.opener, 10)
        pair.acceptor?.session.drop(saying: .ending, pair.now)
        pair.exchange()
        #expect(pair.acceptor?.ending == .dropped(.ending) && pair.acceptor?.isReset == true)
        #expect(pair.opener.ending == .gone(.ending) && pair.opener.isReset)
    }

    @Test func rule7ForgottenSessionResets() {
        var pair = Pair()
        let gone = GoneMessage(reason: .unknown, instance: Pair.instance, positions: nil)
        pair.receive(gone.encoded, at: .opener, 1)
        pair.exchange()
        #expect(pair.opener.ending == .gone(.unknown) && pair.opener.isReset)
    }

    // MARK: Abort

    @Test(arguments: [Role.opener, .acceptor])
    func rule8AbortIsAResetAtTheOtherEnd(_ role: Role) {
        var pair = Pair()
        let other: Role = role == .opener ? .acceptor : .opener
        pair.write(role, 100)
        pair.abort(role)
        #expect(pair[other].delivered.count == 100 && pair[other].isReset && !pair[other].sawEOF)
        #expect(pair[other].ending == .abortedByPeer && pair[role].ending == .abortedHere)
        #expect(!pair[role].isReset, "that leg is gone already")
    }

    @Test func rule8BytesBeforeTheAbortAreDelivered() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 100)
        pair.abort(.opener)
        #expect(pair.acceptor?.ending == nil)
        pair.read(.acceptor)
        #expect(pair.acceptor?.delivered.count == 100 && pair.acceptor?.ending == .abortedByPeer)
        #expect(pair.opener.ending == .abortedHere)
    }

    @Test func rule8AnApplicationThatDoesNotReadDelaysItFiveSeconds() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 100)
        pair.abort(.opener)
        pair.wait(.milliseconds(4_900))
        #expect(pair.acceptor?.ending == nil)
        pair.wait(.milliseconds(200))
        #expect(pair.acceptor?.ending == .abortedByPeer && pair.acceptor?.isReset == true)
        #expect(pair.opener.ending == .abortedHere)
    }

    @Test(arguments: [Role.opener, .acceptor])
    func rule8AbortIsRepeatedUntilItIsAnswered(_ role: Role) {
        var pair = Pair()
        let other: Role = role == .opener ? .acceptor : .opener
        pair.write(role, 10)
        pair.silence()
        pair.abort(role)
        pair.reconnect()
        #expect(pair[other].ending == .abortedByPeer && pair[role].ending == .abortedHere)
        #expect(pair.sent.filter { $0.header.type == .abort }.count == 2)
    }

    /// An opener has answered ABORT, but nobody knows: it dials until it has heard the acceptor's GONE.
    @Test func rule8OpenerDialsUntilItHasTheAnswer() {
        var pair = Pair()
        pair.acceptor?.session.applicationReset(code: 0, pair.now)
        guard case .header(let abort) = pair.acceptor?.session.nextFrame(on: 0, pair.now, maximumData: 1) else {
            Issue.record("no ABORT")
            return
        }
        pair.receive(abort.encodedBytes, at: .opener, 1)
        pair.silence()
        pair.exchange()
        #expect(pair.opener.isReset && pair.opener.ending == nil && pair.opener.session.state == .closing)
        pair.reconnect()
        #expect(pair.opener.ending == .abortedByPeer && pair.acceptor?.ending == .abortedHere)
    }

    @Test func rule8BothAbort() {
        var pair = Pair()
        pair.silence()
        pair.abort(.opener)
        pair.abort(.acceptor)
        pair.reconnect()
        #expect(pair.opener.ending == .abortedHere && pair.acceptor?.ending == .abortedHere)
    }

    @Test func rule8AbortBehindACompleteSessionIsNothing() {
        var pair = Pair()
        pair.finish(.opener)
        pair.finish(.acceptor)
        pair.abort(.opener)
        #expect(pair.opener.ending == .finished && pair.acceptor?.ending == .finished)
    }

    @Test func abortWhileOpening() {
        var pair = Pair(opens: false)
        pair.hasPath = false
        pair.exchange()
        pair.abort(.opener)
        #expect(pair.opener.ending == .abortedHere && pair.opener.session.deadline == nil)
    }

    /// What counts as lost if the process ends now.
    @Test func undelivered() {
        var pair = Pair()
        pair.acceptor?.reads = false
        pair.write(.opener, 100)
        pair.finish(.opener)
        #expect(pair.opener.session.undelivered == 101)
        pair.read(.acceptor)
        #expect(pair.opener.session.undelivered == 0)
        var aborted = Pair()
        aborted.acceptor?.reads = false
        aborted.write(.opener, 100)
        aborted.abort(.opener)
        #expect(aborted.opener.session.undelivered == 0)
    }
}
