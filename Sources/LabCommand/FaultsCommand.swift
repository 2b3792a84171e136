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

    @Flag(help: "Links are plain instead of TLS.")
    var plain = false

    @Flag(help: "The server takes TCP Fast Open.")
    var fastOpen = false

    @Option(help: "Milliseconds that a packet takes on its way, each way.")
    var delay = 0

    func run() throws {
        let faults = (faults.isEmpty ? Fault.allCases : faults).filter { !without.contains($0) }
        let kinds = alone ? [.session, .failover, .mirror] : Contender.Kind.allCases
        var options = FaultSite.Options()
        options.interfaces = 2
        options.isPlain = plain
        options.takesFastOpen = fastOpen
        options.calm = .rate(.megabits(500))
        options.calm.delay = .milliseconds(delay)
        try Measurement.run(
            usl: usl, options, cases: Measurement.cases(of: faults, share: share), kinds: kinds)
    }
}
