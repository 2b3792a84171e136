import Testing

@testable import Simulation

@Suite struct SimulationTests {
    /// Ten thousand schedules in all.
    private static let batch: UInt64 = 500

    @Test(arguments: 0..<20 as Range<UInt64>)
    func schedulesAreHeld(_ batch: UInt64) throws {
        var cuts: UInt64 = 0
        var joins: UInt64 = 0
        for seed in batch * Self.batch..<(batch + 1) * Self.batch {
            let report = try Simulation.run(seed: seed)
            cuts += report[.cut]
            joins += report.joins
        }
        #expect(cuts > 0 && joins > 0, "a network without faults proves nothing")
    }

    /// A simulation that finds nothing may be blind: each of these mistakes must be seen.
    @Test(arguments: Canary.allCases)
    func canaryIsFound(_ canary: Canary) throws {
        // Only where nothing may be blamed is it wrong to blame something.
        let seeds = (1..<60_000 as Range<UInt64>).lazy.filter { canary != .blamesUnread || Family(seed: $0) == .calm }
        let finding = seeds.compactMap { find(canary, seed: $0) }.first
        let found = try #require(finding)
        #expect(found.description.contains("again with: usl-simulate --seed \(found.seed) --canary \(canary.rawValue)"))
        #expect(!found.events.isEmpty && found.events.count <= 40)
    }

    @Test func sameSeedGivesSameRun() throws {
        for seed: UInt64 in 1...20 {
            let first = try Simulation.run(seed: seed)
            let second = try Simulation.run(seed: seed)
            #expect(first.time == second.time && first.events == second.events && first.bytes == second.bytes)
        }
    }

    private func find(_ canary: Canary, seed: UInt64) -> Finding? {
        do throws(Finding) {
            _ = try Simulation.run(seed: seed, canary: canary)
            return nil
        } catch {
            return error
        }
    }
}
