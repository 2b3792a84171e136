import Testing

@testable import SessionProtocol

@Suite struct ReceiverTests {
    private let now = Instant(nanoseconds: 1)

    private func receiver(window: UInt64 = 65_536, maximum: UInt64 = 65_536) -> Receiver {
        Receiver(window: window, maximumWindow: maximum)
    }

    @Test func admits() {
        var receiver = receiver()
        let results = [
            receiver.admit(10, at: 0), receiver.admit(10, at: 0), receiver.admit(10, at: 5), receiver.admit(1, at: 16),
            receiver.admit(0, at: 15),
        ]
        #expect(results == [.new(skip: 0), .duplicate, .new(skip: 5), .early, .duplicate])
        #expect(receiver.received == 15)
        let filled = receiver.admit(1, at: 15)
        #expect(filled == .new(skip: 0) && receiver.received == 17, "what came early counts when the gap is closed")
    }

    @Test func refusesWhatWasNotPromised() {
        var receiver = receiver()
        let results = [
            receiver.admit(65_537, at: 0), receiver.admit(1, at: 65_536), receiver.admit(1, at: .max),
            receiver.admit(2, at: .max - 1), receiver.admit(65_536, at: 0),
        ]
        #expect(results == [.violation, .violation, .violation, .violation, .new(skip: 0)])
    }

    @Test func fin() {
        var receiver = receiver()
        _ = receiver.admit(10, at: 0)
        let results = [
            receiver.admitFin(at: 9), receiver.admitFin(at: 10), receiver.admitFin(at: 10), receiver.admitFin(at: 11),
            receiver.admit(1, at: 10), receiver.admit(5, at: 5),
        ]
        #expect(results == [.violation, .new(skip: 0), .duplicate, .violation, .violation, .duplicate])
        #expect(!receiver.finIsDue && receiver.received == 11)
        receiver.deliver(10, now)
        #expect(receiver.finIsDue && !receiver.isDone)
        receiver.deliverFin()
        #expect(receiver.isDone && receiver.delivered == 11)
    }

    @Test func aPieceMayReachOverSeveralThatCameEarly() {
        var receiver = receiver()
        _ = receiver.admit(5, at: 5)
        _ = receiver.admit(5, at: 15)
        let piece = receiver.admit(16, at: 0)
        #expect(piece == .new(skip: 0) && receiver.received == 20 && receiver.early.isEmpty)
    }

    @Test func earlyFin() {
        var receiver = receiver()
        let results = [
            receiver.admit(5, at: 5), receiver.admitFin(at: 9), receiver.admitFin(at: 10), receiver.admit(1, at: 10),
            receiver.admitFin(at: 11),
        ]
        #expect(results == [.early, .violation, .early, .violation, .violation])
        #expect(receiver.received == 0 && receiver.finPosition == nil)
        _ = receiver.admit(5, at: 0)
        #expect(receiver.received == 11 && receiver.finPosition == 10)
    }

    @Test func acknowledgesAQuarterOfTheWindow() {
        var receiver = receiver()
        _ = receiver.admit(40_000, at: 0)
        receiver.deliver(16_383, now)
        #expect(!receiver.mustAcknowledge && receiver.hasUnannounced)
        receiver.deliver(1, now)
        #expect(receiver.mustAcknowledge)
        let window = receiver.announce()
        #expect(window == 16 && !receiver.mustAcknowledge && !receiver.hasUnannounced)
        #expect(receiver.promised == 16_384 + 65_536)
    }

    @Test func acknowledges64KiBOfALargeWindow() {
        var receiver = receiver(window: 1 << 20, maximum: 1 << 20)
        _ = receiver.announce()
        _ = receiver.admit(70_000, at: 0)
        receiver.deliver(65_535, now)
        #expect(!receiver.mustAcknowledge)
        receiver.deliver(1, now)
        #expect(receiver.mustAcknowledge)
    }

    /// `ack` + window never retreats, though the field counts in 4 KiB.
    @Test func promiseNeverRetreats() {
        var random = SplitMix(state: 5)
        var receiver = receiver(window: 65_536, maximum: 1 << 20)
        var promised = Wire.initialWindow
        for step in 0..<2_000 as Range<UInt64> {
            let room = promised - receiver.received
            if room > 0 { _ = receiver.admit(Int(random.next() % room) + 1, at: receiver.received) }
            let held = receiver.received - receiver.delivered
            receiver.deliver(Int(random.next() % (held + 1)), Instant(nanoseconds: step * 1_000_000))
            let window = receiver.announce()
            let limit = receiver.delivered + UInt64(window) * Wire.windowUnit
            #expect(limit <= receiver.promised && receiver.promised >= promised)
            #expect(receiver.promised - limit < Wire.windowUnit)
            promised = receiver.promised
        }
    }

    @Test func claimsAreNoAnnouncements() {
        var receiver = receiver()
        _ = receiver.admit(20_000, at: 0)
        receiver.deliver(20_000, now)
        _ = receiver.promise()
        #expect(receiver.mustAcknowledge && receiver.hasUnannounced)
    }

    @Test func windowGrowsForAFastApplicationOnly() {
        func window(afterBytesEvery pause: Interval) -> UInt16 {
            var receiver = receiver(window: 65_536, maximum: 1 << 20)
            var now = now
            for _ in 0..<20 {
                _ = receiver.announce()
                let room = Int(receiver.promised - receiver.received)
                _ = receiver.admit(room, at: receiver.received)
                receiver.deliver(room, now)
                now = now + pause
            }
            return receiver.announce()
        }
        #expect(window(afterBytesEvery: .milliseconds(10)) == 256)
        #expect(window(afterBytesEvery: .milliseconds(500)) == 16)
    }

    @Test func windowFitsTheField() {
        var receiver = receiver(window: .max / 2, maximum: .max / 2)
        let window = receiver.announce()
        #expect(window == .max && receiver.promised <= Wire.maximumWindow)
    }
}
