import Testing

@testable import Rendezvous

@Suite("Attempts, simulated")
struct AttemptSimulationTests {
    @Test("whatever the network does, a pair that works is found in time, and all rules are kept on the way")
    func schedules() {
        var wins: [AttemptScenario.Kind: Int] = [:]
        var runs: [AttemptScenario.Kind: Int] = [:]
        for seed in 1...4000 as ClosedRange<UInt64> {
            let scenario = AttemptScenario(seed: seed)
            var simulation = AttemptSimulation(scenario, seed: seed)
            simulation.run()
            guard simulation.problems.isEmpty else {
                Issue.record("seed \(seed): \(simulation.problems.joined(separator: "; "))")
                return
            }
            runs[scenario.kind, default: 0] += 1
            if case .won = simulation.outcome { wins[scenario.kind, default: 0] += 1 }
        }
        // That the schedules are about something.
        for kind in AttemptScenario.Kind.allCases { #expect(runs[kind, default: 0] > 500) }
        #expect(wins[.nothingWorks] == nil)
        for kind in [AttemptScenario.Kind.onePairWorks, .allSlow, .mixed] {
            #expect(wins[kind, default: 0] > 300, "\(wins)")
        }
    }
}
