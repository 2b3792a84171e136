import Testing

@testable import NetworkLab

/// What a path does to packets, without packets.
struct PathDirectionTests {
    /// Puts `count` packets of 1,000 bytes in, one each microsecond; tells which come out, and when.
    private func passed(_ faults: PathFaults, count: Int, seed: UInt64 = 1) -> [(number: Int32, time: UInt64)] {
        var direction = PathDirection(faults: faults, seed: seed)
        for number in 0..<Int32(count) {
            let packet = PathDirection.Packet(buffer: number, length: 1000)
            switch direction.fate(size: 1000) {
            case .drop: continue
            case .keep: break
            case .double: _ = direction.take(packet, now: UInt64(number) * 1000)
            }
            _ = direction.take(packet, now: UInt64(number) * 1000)
        }
        var out: [(Int32, UInt64)] = []
        while let next = direction.next {
            while let packet = direction.arrival(now: next) { out.append((packet.buffer, next)) }
        }
        return out
    }

    @Test func withoutFaultsEverythingPassesAtOnceInOrder() {
        let out = passed(.none, count: 1000)
        #expect(out.map(\.number) == Array(0..<1000))
        #expect(out.last?.time == 999_000)
    }

    @Test func delayWithJitterKeepsTheOrder() {
        let out = passed(.delay(.milliseconds(20), jitter: .milliseconds(5)), count: 1000)
        #expect(out.map(\.number) == Array(0..<1000))
        let delays = out.map { $0.time - UInt64($0.number) * 1000 }
        #expect(delays.allSatisfy { (20_000_000...25_000_000).contains($0) })
        #expect(Set(delays).count > 10)
    }

    @Test func lossAndDuplicationComeToTheirShares() {
        let loss = passed(.loss(0.3), count: 20_000).count
        #expect((13_600...14_400).contains(loss))
        var faults = PathFaults()
        faults.duplication = 0.1
        let doubled = passed(faults, count: 20_000).count
        #expect((21_700...22_300).contains(doubled))
    }

    @Test func reorderedPacketsAreLateAndTheOthersAreNot() {
        var faults = PathFaults()
        faults.reordering = 0.1
        let out = passed(faults, count: 10_000)
        let late = out.filter { $0.time - UInt64($0.number) * 1000 >= 5_000_000 }
        #expect((900...1100).contains(late.count))
        #expect(out.count == 10_000)
        #expect(zip(out, out.dropFirst()).contains { $0.number > $1.number })
    }

    @Test func aRateSpacesPacketsAndItsQueueIsBounded() {
        // 8 Mbit/s: a packet of 1,000 bytes each millisecond.
        let out = passed(.rate(.megabits(8), queueBytes: 50_000), count: 1000)
        #expect((50...52).contains(out.count))
        #expect(zip(out.dropFirst(2), out.dropFirst(3)).allSatisfy { $1.time - $0.time == 1_000_000 })
    }

    @Test func aChangedRateHoldsForWhatWaits() {
        var direction = PathDirection(faults: .rate(.megabits(8), queueBytes: 100_000), seed: 1)
        for number in 0..<10 { _ = direction.take(.init(buffer: Int32(number), length: 1000), now: 0) }
        var arrived = 0
        while direction.arrival(now: 2_000_000) != nil { arrived += 1 }
        direction.faults = .none
        while direction.arrival(now: 3_000_000) != nil { arrived += 1 }
        #expect(arrived == 10)
        #expect(direction.isTransparent)
    }

    @Test func silenceAndSizeDropWhatTheyShould() {
        var direction = PathDirection(faults: .largestPacket(1000), seed: 1)
        #expect(direction.fate(size: 1000) == .keep)
        #expect(direction.fate(size: 1001) == .drop)
        direction.faults = .silence
        #expect(direction.fate(size: 40) == .drop)
        #expect(direction.counts.lost == 2)
    }

    @Test func chanceRepeatsWithItsSeed() {
        var faults = PathFaults.loss(0.5)
        faults.jitter = .milliseconds(1)
        let runs = [1, 1, 2].map { passed(faults, count: 200, seed: $0).map(\.number) }
        #expect(runs[0] == runs[1])
        #expect(runs[0] != runs[2])
    }

    @Test func faultsSurviveTheirText() {
        var faults = PathFaults.delay(.microseconds(1500), jitter: .nanoseconds(7))
        faults.isSilent = true
        faults.largestPacket = 1280
        faults.loss = 0.05
        faults.duplication = 0.000_001
        faults.rate = .megabits(3)
        faults.queueBytes = 77
        faults.reordering = 1
        #expect(PathFaults(text: faults.text) == faults)
        #expect(PathFaults(text: PathFaults.none.text) == PathFaults.none)
        for text in ["", "1,2", "a,b", PathFaults.none.text + ",1", "-1,0,0,0,0,0,0,0,0,0"] {
            #expect(PathFaults(text: text) == nil)
        }
    }
}
