import ArgumentParser
import NetworkLab

/// `usl-lab faults`
struct FaultsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "faults",
        abstract: "Measures how long a ping-pong pauses under each fault, with sessions and without.",
        discussion: "Prints a table in Markdown. Needs root, mptcpize and sshd.")

    @Option(help: "The command to measure.")
    var usl: String

    @Option(help: "The share of the full number of repetitions.")
    var share = 1.0

    @Option(parsing: .upToNextOption, help: "These faults alone.")
    var faults: [Fault] = []

    @Option(parsing: .upToNextOption, help: "All faults but these.")
    var without: [Fault] = []

    @Flag(help: "Measure sessions alone.")
    var alone = false

    func run() throws {
        let faults = (faults.isEmpty ? Fault.allCases : faults).filter { !without.contains($0) }
        let kinds = alone ? [.session, .failover, .mirror] : Contender.Kind.allCases
        try Measurement.run(usl: usl, cases: Measurement.cases(of: faults, share: share), kinds: kinds)
    }
}
