import ArgumentParser
import Glibc
import Simulation

@main
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usl-simulate",
        abstract: "Runs sessions against a simulated network, one schedule of faults for each seed.",
        discussion: "Exits with 1 at the first seed in which something wrong has happened, and says what.")

    @Option(help: "Run this seed alone.")
    var seed: UInt64?

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    @Option(help: "How many seeds to run.")
    var seeds: UInt64 = 10_000

    @Option(help: "How many seeds to run at a time.")
    var jobs: Int = 2

    @Option(
        help: "Only seeds of these families, with commas between: \(Family.allCases.map { $0.rawValue }).",
        transform: families)
    var family = Family.allCases

    @Option(help: "With --seed: how many events to tell before what went wrong.")
    var events = 40

    @Option(help: "Put a mistake into the driver, to see it found: \(Canary.allCases.map { $0.rawValue }).")
    var canary: Canary?

    func run() async throws {
        do {
            if let seed {
                var totals = Totals()
                totals.add(try Simulation.run(seed: seed, canary: canary, events: events))
                print(totals.line(after: .zero))
            } else {
                try await runAll()
            }
        } catch let finding as Finding {
            print(finding)
            throw ExitCode(1)
        }
    }

    private static func families(_ text: String) throws -> [Family] {
        try text.split(separator: ",").map {
            guard let family = Family(rawValue: String($0)) else { throw ValidationError("there is no family \($0)") }
            return family
        }
    }

    private func runAll() async throws {
        let clock = ContinuousClock()
        let start = clock.now
        var reported = start
        var totals = Totals()
        var next = first
        let end = first + seeds
        try await withThrowingTaskGroup(of: Totals.self) { group in
            func addBatch() {
                guard next < end else { return }
                let batch = next..<min(next + 256, end)
                next = batch.upperBound
                let (canary, families) = (canary, Set(family))
                group.addTask {
                    var totals = Totals()
                    for seed in batch where families.contains(Family(seed: seed)) {
                        totals.add(try Simulation.run(seed: seed, canary: canary))
                    }
                    return totals
                }
            }
            for _ in 0..<max(jobs, 1) { addBatch() }
            while let batch = try await group.next() {
                totals.add(batch)
                addBatch()
                if clock.now - reported > .seconds(5), next < end {
                    reported = clock.now
                    print(totals.line(after: clock.now - start))
                    // A long run's output may go to a file that somebody follows.
                    fflush(nil)
                }
            }
        }
        print(totals.line(after: clock.now - start))
    }
}

extension Canary: ExpressibleByArgument {}

/// What many runs were like together.
private struct Totals: Sendable {
    var runs: UInt64 = 0
    var nanoseconds: UInt64 = 0
    var bytes: UInt64 = 0
    var joins: UInt64 = 0
    var suspicions: UInt64 = 0
    var early: UInt64 = 0
    var finished: UInt64 = 0
    var faults = [UInt64](repeating: 0, count: Fault.allCases.count)

    mutating func add(_ report: RunReport) {
        runs += 1
        nanoseconds += report.time.nanoseconds
        bytes += report.bytes
        joins += report.joins
        suspicions += report.suspicions
        early += report.early
        if report.ending == .finished { finished += 1 }
        for index in faults.indices { faults[index] += report.faults[index] }
    }

    mutating func add(_ other: Totals) {
        runs += other.runs
        nanoseconds += other.nanoseconds
        bytes += other.bytes
        joins += other.joins
        suspicions += other.suspicions
        early += other.early
        finished += other.finished
        for index in faults.indices { faults[index] += other.faults[index] }
    }

    func line(after elapsed: Duration) -> String {
        let milliseconds = UInt64(elapsed / .milliseconds(1))
        let rate = milliseconds > 0 ? ", \(runs * 1_000 / milliseconds) a second" : ""
        let struck = Fault.allCases.filter { faults[$0.rawValue] > 0 }.map { "\($0) \(faults[$0.rawValue])" }
        return "\(runs) schedules\(rate): \(nanoseconds / 3_600_000_000_000) simulated hours, \(bytes >> 20) MiB, "
            + "\(early >> 20) MiB of them early, \(joins) joins, \(suspicions) suspicions, \(finished) finished in order; faults: \(struck.joined(separator: ", "))"
    }
}
