import ArgumentParser
import CLinux
import Interception
import Kernel

/// `usl agent`
struct AgentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Renew a running agent.",
        discussion: """
            The agent of a running `usl COMMAND` or `usl forward` is replaced by this binary, with the options that it was \
            started with. Its connections go on.

            Examples:
              usl agent --replace 4711
            """)

    @Option(
        help: ArgumentHelp("Replace the agent of this process; see the control sockets' names.", valueName: "process"))
    var replace: Int32

    func run() throws {
        try checkOptions()
        try ReplacementRequest.send(to: .agent, process: replace, arguments: [])
    }

    /// Whether this binary understands what the agent was started with: afterwards would be too late to say no.
    private func checkOptions() throws {
        guard let words = ProcessFiles.arguments(of: replace)?.dropFirst() else {
            throw ReplacementRequest.Failure.notThere(.agent)
        }
        switch try USLCommand.splitter.split(Array(words)) {
        case .subcommand(let words): _ = try USLCommand.parseAsRoot(words)
        case .run(let options, _): _ = try USLCommand.parseAsRoot(["run"] + options)
        }
    }
}
