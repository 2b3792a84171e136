import Testing

@testable import SessionProtocol

@Suite struct PositionRangesTests {
    /// Against a plain set of positions.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func behavesAsASet(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var ranges = PositionRanges()
        var model: Set<Position> = []
        for _ in 0..<200 {
            let start = random.next() % 60
            let range = start..<start + random.next() % 12
            switch random.next() % 5 {
            case 0, 1:
                ranges.insert(range)
                model.formUnion(range)
            case 2, 3:
                ranges.remove(range)
                model.subtract(range)
            default:
                let position = random.next() % 20
                ranges.removeBelow(position)
                model = model.filter { $0 >= position }
            }
            #expect(Set(ranges.ranges.flatMap { Array($0) }) == model)
            #expect(ranges.isEmpty == model.isEmpty)
            #expect(ranges.first?.lowerBound == model.min())
            let isNormal = zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
            #expect(isNormal && ranges.ranges.allSatisfy { !$0.isEmpty })
        }
    }

    @Test func wholeSets() {
        var left = PositionRanges()
        left.insert(0..<10)
        var right = PositionRanges()
        right.insert(5..<7)
        right.insert(20..<30)
        left.remove(right)
        #expect(left.ranges == [0..<5, 7..<10])
        left.insert(right)
        #expect(left.ranges == [0..<10, 20..<30])
    }
}

@Suite struct EpochWindowTests {
    /// Against a set of what was seen.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func acceptsEachOnce(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var window = EpochWindow()
        var seen: Set<Epoch> = [0]
        for _ in 0..<500 {
            let highest = seen.max() ?? 0
            let epoch = random.next() % 4 == 0 ? highest &+ 1 + random.next() % 100 : highest &- random.next() % 90
            guard epoch <= highest + 100 else { continue }
            let isNew = !seen.contains(epoch) && (epoch > highest || highest - epoch < 64)
            let isAccepted = window.accept(epoch)
            #expect(isAccepted == isNew)
            if isNew { seen.insert(epoch) }
            #expect(window.highest == seen.max())
        }
    }

    @Test func resumesBehindALedger() {
        var window = EpochWindow(highest: 500)
        for epoch in 400...500 as ClosedRange<Epoch> {
            let isAccepted = window.accept(epoch)
            #expect(!isAccepted)
        }
        let isFirst = window.accept(501)
        let isSecond = window.accept(501)
        #expect(isFirst && !isSecond)
    }

    @Test func farAhead() {
        var window = EpochWindow()
        let shown: [Epoch] = [1, .max, .max, 1, .max - 63, .max - 64]
        #expect(shown.map { window.accept($0) } == [true, true, false, false, true, false])
    }
}

@Suite struct BackoffTests {
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func schedule(_ seed: UInt64) {
        var backoff = Backoff(seed: seed)
        let start = Instant(nanoseconds: 5_000_000_000)
        var now = start
        let first = backoff.next(now)
        #expect(first == now, "the first dial is at once")
        for nominal in [50, 100, 200, 250, 250, 250] as [UInt64] {
            let due = backoff.next(now)
            let delay = due - now
            #expect(delay >= .milliseconds(nominal) * 4 / 5 && delay <= .milliseconds(nominal) * 6 / 5)
            now = due
        }
        while now - start < Backoff.eagerPeriod {
            let due = backoff.next(now)
            #expect(due - now <= .milliseconds(300))
            now = due
        }
        for nominal in [500, 1_000, 2_000, 4_000, 5_000, 5_000] as [UInt64] {
            // The step at the border was still chosen eagerly.
            if nominal == 500 { now = backoff.next(now) }
            let due = backoff.next(now)
            let delay = due - now
            #expect(delay >= .milliseconds(nominal) * 4 / 5 && delay <= .milliseconds(nominal) * 6 / 5)
            now = due
        }
        backoff.reset()
        let afresh = backoff.next(now)
        #expect(afresh == now)
    }

    @Test func seedsDoNotMeet() {
        let second = (1...20 as ClosedRange<UInt64>).map { seed in
            var backoff = Backoff(seed: seed)
            _ = backoff.next(Instant(nanoseconds: 0))
            return backoff.next(Instant(nanoseconds: 0)).nanoseconds
        }
        #expect(Set(second).count > 15)
    }
}

@Suite struct TimeTests {
    @Test func intervals() {
        #expect(Interval.microseconds(1).millisecondsRoundedUp == 1 && Interval.zero.millisecondsRoundedUp == 0)
        #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: 9) == .zero)
        #expect(Interval.hours(1) == .seconds(60) * 60 && .hours(1) / 3_600 == .milliseconds(1_000))
    }

    @Test func timersFireOnceAndTheEarliestIsNext() {
        var timers = TimerTable()
        #expect(timers.next == nil)
        for timer in Timer.allCases { timers[timer] = Instant(nanoseconds: 100 - UInt64(timer.rawValue)) }
        #expect(timers.next == Instant(nanoseconds: 92))
        let fired = [99, 100, 200].map { timers.fires(.acknowledge, Instant(nanoseconds: $0)) }
        #expect(fired == [false, true, false])
        #expect(timers[.acknowledge] == nil)
        timers[.farewell] = nil
        #expect(timers.next == Instant(nanoseconds: 93))
        timers.clearAll()
        #expect(timers.next == nil)
    }
}

@Suite struct ProofTests {
    @Test func length() {
        for count in [0, 31, 33] {
            #expect(Proof(bytes: [UInt8](repeating: 0, count: count))?.bytes == nil)
        }
    }

    @Test func everyBitCounts() {
        let proof = Samples.proof(of: [1])
        #expect(proof.matches(Samples.proof(of: [1])))
        for index in 0..<32 {
            for bit in 0..<8 {
                var bytes = proof.bytes
                bytes[index] ^= 1 << bit
                #expect(!proof.matches(Proof(bytes: bytes)!))
            }
        }
    }
}
