import ArgumentParser
import Glibc
import NetworkLab

/// `usl-bench`: USL beside other ways to carry connections, on one machine, in one run. Not installed.
@main
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usl-bench", abstract: "Measures USL beside its peers.",
        subcommands: [RunCommand.self, LoadCommand.self], defaultSubcommand: RunCommand.self)
}

extension Contender.Kind: ExpressibleByArgument {}

struct RunCommand: ParsableCommand {
    enum Part: String, CaseIterable, ExpressibleByArgument {
        case relays
        case longPath = "long-path"
        case interception
        case recovery
    }

    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Measures, and tells it as a table, as JSON and as a picture.",
        discussion: """
            Contenders that are not installed are left out, with a line. Exits with 1 when one that is there fails. Needs root for ssh and \
            wireguard-go.
            """)

    @Option(help: "The command to measure.")
    var usl: String

    @Flag(help: "Few workloads, few rounds: three minutes.")
    var quick = false

    @Option(parsing: .upToNextOption, help: "These parts alone.")
    var parts: [Part] = Part.allCases

    @Option(parsing: .upToNextOption, help: "These contenders alone.")
    var contenders: [Contender.Kind] = Contender.Kind.allCases

    @Option(parsing: .upToNextOption, help: "These workloads alone, by name.")
    var workloads: [String] = []

    @Option(help: "How often every contender has its turn.")
    var rounds: Int?

    @Option(help: "Seconds of each turn.")
    var seconds: Double?

    @Option(help: "Where results.json, results.md and results.svg go.")
    var output = ".build/bench"

    @Option(
        help: "The folder of the documents to write the tables into: performance.md, interception.md, performance.svg.")
    var documents: String?

    func validate() throws {
        for name in workloads where !Workload.all.contains(where: { $0.name == name }) {
            let names = Workload.all.map(\.name).joined(separator: "; ")
            throw ValidationError("there is no workload '\(name)' among: \(names)")
        }
        guard rounds ?? 1 > 0, seconds ?? 1 > 0 else { throw ValidationError("--rounds and --seconds are more than 0") }
    }

    /// Programs of the lab run in other directories.
    private func absolute(_ path: String) -> String {
        guard path.contains("/"), let found = realpath(path, nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }

    func run() throws {
        let usl = absolute(usl)
        var report = Report(machine: .current(), isQuick: quick)
        report.seconds = seconds ?? (quick ? 0.3 : 1)
        let rounds = rounds ?? (quick ? 2 : 3)
        if parts.contains(.relays) { try measureRelays(usl, &report, rounds) }
        if parts.contains(.longPath) {
            let kinds = (quick ? LongPath.fewKinds : LongPath.kinds).filter(contenders.contains)
            try LongPath.measure(
                kinds, usl: usl, rounds: self.rounds ?? (quick ? 1 : 3), seconds: seconds ?? (quick ? 3 : 8),
                into: &report.series)
        }
        if parts.contains(.interception) {
            note("interception")
            report.interception = try InterceptionCosts(
                usl: usl, runs: quick ? 1 : 9, connections: quick ? 200 : 500, starts: 15)
        }
        if parts.contains(.recovery) {
            note("recovery, which takes \(quick ? "some seconds" : "some minutes")")
            let arguments = quick ? ["--faults", "reset", "--alone", "--share", "0.1"] : ["--share", "0.2"]
            report.recovery = try Recovery(usl: usl, arguments: arguments)
        }
        try write(report)
    }

    private func measureRelays(_ usl: String, _ report: inout Report, _ rounds: Int) throws {
        let chosen =
            workloads.isEmpty
            ? (quick ? Workload.few : Workload.all) : Workload.all.filter { workloads.contains($0.name) }
        var series = report.series
        var leftOut: [(kind: Contender.Kind, reason: String)] = []
        let seconds = report.seconds
        try Site.onLoopback(usl: usl) { site in
            var started: [Contender] = []
            for kind in contenders {
                if let reason = Contender.obstacle(to: kind, at: site) {
                    note("\(kind.rawValue) is left out: \(reason)")
                    leftOut.append((kind, reason))
                    continue
                }
                do {
                    started.append(try Contender.start(kind, at: site))
                } catch {
                    throw BenchFailure("\(kind.rawValue) does not start: \(error)")
                }
            }
            for workload in chosen {
                try series.measure(workload, started, at: site, rounds: rounds, seconds: seconds)
            }
        }
        report.series = series
        report.leftOut = leftOut
    }

    private func write(_ report: Report) throws {
        var folder = ""
        for part in output.split(separator: "/", omittingEmptySubsequences: false) {
            folder += part + "/"
            mkdir(folder, 0o755)
        }
        let text = report.markdown
        try DocumentSection.write(report.json.written() + "\n", to: folder + "results.json")
        try DocumentSection.write(text, to: folder + "results.md")
        try DocumentSection.write(report.picture.svg, to: folder + "results.svg")
        print(text)
        if let interception = report.interception { print("### Interception\n\n" + interception.markdown) }
        guard let documents else { return }
        try section(documents + "/performance.md", "figures").write(text)
        try DocumentSection.write(report.picture.svg, to: documents + "/performance.svg")
        if let interception = report.interception {
            try section(documents + "/interception.md", "what it costs")
                .write("\(report.machine.text). \(interception.markdown)")
        }
    }

    private func section(_ path: String, _ name: String) -> DocumentSection {
        DocumentSection(of: path, madeBy: "make bench", name)
    }
}
