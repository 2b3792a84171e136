import Testing

@testable import SessionProtocol

@Suite struct SenderTests {
    /// A sender with `count` bytes, of which all that the window allows have been sent.
    private func sent(_ count: Int) -> Sender {
        var sender = Sender()
        sender.append(count)
        while sender.nextSegment(maximum: 1_000) != nil {}
        return sender
    }

    @Test func bytesThenFin() {
        var sender = Sender()
        sender.append(1_500)
        sender.finish()
        let segments = (0..<4).map { _ in sender.nextSegment(maximum: 1_000) }
        #expect(segments == [.bytes(0..<1_000), .bytes(1_000..<1_500), .fin(1_500), nil])
        #expect(sender.endWithFin == 1_501 && !sender.isDone)
        let result = sender.acknowledge(1_501, limit: 0)
        #expect(result == .advanced && sender.isDone)
    }

    @Test func windowHoldsBytesBackButNotFin() {
        var sender = sent(100_000)
        let held = sender.nextSegment(maximum: 1)
        #expect(sender.next == Wire.initialWindow && held == nil)
        _ = sender.acknowledge(0, limit: 80_000)
        let segment = sender.nextSegment(maximum: 65_536)
        #expect(segment == .bytes(65_536..<80_000))
        var full = sent(65_536)
        full.finish()
        let fin = full.nextSegment(maximum: 1)
        #expect(fin == .fin(65_536))
    }

    @Test func acknowledgementsInAnyOrder() {
        var sender = sent(10_000)
        let results = [4_000, 2_000, 4_000, 10_000, 10_001].map { sender.acknowledge($0, limit: $0) }
        #expect(results == [.advanced, .unchanged, .unchanged, .advanced, .violation])
        #expect(sender.acknowledged == 10_000 && sender.limit == Wire.initialWindow)
    }

    @Test func lostRangesComeBeforeNewBytes() {
        var sender = sent(5_000)
        sender.append(5_000)
        _ = sender.acknowledge(1_000, limit: 0)
        var lost = PositionRanges()
        lost.insert(500..<3_000)
        sender.requeue(lost)
        let segments = (0..<3).map { _ in sender.nextSegment(maximum: 10_000) }
        #expect(segments == [.bytes(1_000..<3_000), .bytes(5_000..<10_000), nil])
    }

    @Test func lostFinComesAgain() {
        var sender = sent(10)
        sender.finish()
        _ = sender.nextSegment(maximum: 10)
        var lost = PositionRanges()
        lost.insert(0..<11)
        sender.requeue(lost)
        let segments = (0..<3).map { _ in sender.nextSegment(maximum: 10) }
        #expect(segments == [.bytes(0..<10), .fin(10), nil])
    }

    /// What the peer holds is not sent again; what it has acknowledged before it claimed less is old news.
    @Test func attachedPeer() {
        var sender = sent(10_000)
        _ = sender.acknowledge(2_000, limit: 60_000)
        sender.peerAttached(received: 7_000, limit: 9_000, live: PositionRanges(), isRestarted: false)
        #expect(sender.resend.ranges == [7_000..<10_000] && sender.acknowledged == 2_000)
        #expect(sender.limit == 65_536, "a claim may be older than a promise")
        sender.peerAttached(received: 7_000, limit: 9_000, live: PositionRanges(), isRestarted: true)
        let segment = sender.nextSegment(maximum: 65_536)
        #expect(segment == .bytes(7_000..<9_000), "the window may retreat here")
        sender.peerAttached(received: 7_000, limit: 3_000, live: PositionRanges(), isRestarted: true)
        let nothing = sender.nextSegment(maximum: 65_536)
        #expect(nothing == nil, "nor does a window behind everything trap")
        sender.peerAttached(received: 0, limit: 60_000, live: PositionRanges(), isRestarted: true)
        #expect(sender.resend.ranges == [2_000..<10_000])
        var live = PositionRanges()
        live.insert(5_000..<10_000)
        sender.peerAttached(received: 3_000, limit: 60_000, live: live, isRestarted: true)
        #expect(sender.resend.ranges == [3_000..<5_000])
    }
}
