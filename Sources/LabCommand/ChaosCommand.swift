import ArgumentParser
import Glibc
import NetworkLab

/// `usl-lab chaos`
struct ChaosCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Runs random traffic under random faults, and says whether every byte arrived.",
        discussion: "Exits with 1 when anything was lost. The same seed makes the same traffic and the same faults.")

    @Option(help: "The command to put to the test.")
    var usl: String

    @Option(help: "How long.")
    var minutes = 10.0

    @Option(help: "Where chance comes from; a new one if not given.")
    var seed: UInt64 = .random(in: 1...999_999)

    @Option(
        parsing: .upToNextOption, help: "These faults alone: \(Fault.allCases.map(\.rawValue).joined(separator: ", "))."
    )
    var faults: [Fault] = []

    @Option(parsing: .upToNextOption, help: "All faults but these.")
    var without: [Fault] = []

    @Option(help: "How many programs, each with an agent of its own.")
    var programs = 3

    @Option(help: "How many connections each program has at a time.")
    var connections = 8

    @Option(help: "How sessions use several links: failover, mirror or stripe, over both of the client's interfaces.")
    var links: String?

    func run() throws {
        let kinds = (faults.isEmpty ? Fault.allCases : faults).filter { !without.contains($0) }
        guard !kinds.isEmpty else { throw ValidationError("no fault is left") }
        // Resets are what happens most.
        let weighted = kinds + (kinds.contains(.reset) ? [.reset, .reset] : [])
        let sources = ["--source", "eth0", "--source", "eth1"]
        let options = Chaos.Options(
            usl: usl, seed: seed, seconds: max(1, Int(minutes * 60)), faults: weighted, programs: programs,
            connections: connections, links: links.map { ["--links", $0] + sources } ?? [])
        Glibc.exit(try Chaos.run(options))
    }
}

extension Fault: ExpressibleByArgument {}
