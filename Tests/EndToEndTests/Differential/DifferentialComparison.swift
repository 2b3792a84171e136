import CLinux
import NetworkLab
import Testing

/// What a program says bare and in each mode, and how that is judged.
struct DifferentialComparison {
    /// How often a case is run again whose differences are not as known. A machine that is busy makes an instant longer, and that alone;
    /// what is really another way of behaving is there each time.
    private static let repetitions = 3

    let program: ProbeProgram
    private(set) var bare: ProbeReport
    private var reports: [(mode: InterceptionMode, report: ProbeReport)] = []

    /// Runs the program on all hosts at once.
    init(_ site: DifferentialSite, _ program: ProbeProgram, _ command: [String]) throws {
        self.program = program
        let alone = try site.start(command, in: nil)
        let running = try InterceptionMode.all.map { (mode: $0, process: try site.start(command, in: $0)) }
        bare = try site.report(of: alone)
        #expect(bare.cases.count > 5, "\(program.rawValue) has few cases: \(bare.cases)")
        for (mode, process) in running { reports.append((mode, try site.report(of: process))) }
        for _ in 0..<Self.repetitions {
            let unsure = bare.cases.filter { name in
                reports.contains { !isTimely(name, in: $0.mode, $0.report) }
            }
            if unsure.isEmpty { break }
            try repeatCases(unsure, site, command)
        }
    }

    /// Whether nothing but times differs from what is known.
    private func isTimely(_ name: String, in mode: InterceptionMode, _ report: ProbeReport) -> Bool {
        let (unknown, missing) = judge(name, in: mode, report)
        return !unknown.contains { $0.key == "elapsed" }
            && !missing.contains { $0.places(of: name, in: mode, program).areAboutTime }
    }

    private mutating func repeatCases(_ names: [String], _ site: DifferentialSite, _ command: [String]) throws {
        let some = command + names.map { "only:" + $0 }
        // One after the other: what makes an instant longer may be all of them at once.
        let again = try site.report(of: try site.start(some, in: nil))
        for name in names { bare.replace(name, from: again) }
        for index in reports.indices {
            let again = try site.report(of: try site.start(some, in: reports[index].mode))
            for name in names { reports[index].report.replace(name, from: again) }
        }
    }

    private func judge(
        _ name: String, in mode: InterceptionMode, _ report: ProbeReport
    ) -> (unknown: [ProbeReport.Difference], missing: [KnownDifference]) {
        let differences = report.differences(name, from: bare)
        let known = KnownDifference.all.map { (known: $0, places: $0.places(of: name, in: mode, program)) }
        return (
            differences.filter { difference in !known.contains { $0.places.covers(difference) } },
            known.filter { known, places in
                known.isSteady && !places.isEmpty && !differences.contains { places.covers($0) }
            }.map(\.known)
        )
    }

    func expectKnownDifferences() {
        for (mode, report) in reports {
            for name in bare.cases {
                let (unknown, missing) = judge(name, in: mode, report)
                for difference in unknown {
                    Issue.record("\(program.rawValue), \(mode.name), \(name): \(difference)")
                }
                for known in missing {
                    Issue.record("\(program.rawValue), \(mode.name), \(name): difference \(known.mark) is no more")
                }
            }
            for name in report.cases where !bare.cases.contains(name) {
                Issue.record("\(program.rawValue), \(mode.name): \(name) is not there without USL")
            }
        }
    }
}
