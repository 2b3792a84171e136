import Agent
import ArgumentParser
import Keeper
import Kernel
import Policy
import SessionHost

/// `usl forward`
struct ForwardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forward",
        abstract: "Listen for programs that USL cannot start, and carry their connections to one target.",
        discussion: """
            Examples:
              usl forward localhost:5432 db1:5432 --gateway edge
            """)

    @Argument(
        help: ArgumentHelp("Where programs connect.", valueName: "listen"), transform: HostPort.argument)
    var listen: HostPort

    @Argument(
        help: ArgumentHelp("Where their connections go.", valueName: "target"), transform: HostPort.argument)
    var target: HostPort

    @OptionGroup var agent: AgentArguments

    func run() throws {
        let options = try agent.options()
        guard let address = try target.resolve().first else { return }
        let listen = try listen.resolve()
        try WorkerKeeper.run(
            openControl: { try ControlSocket(of: .agent) }, prepare: { try $0.listen(on: listen) }, name: "agent",
            isQuiet: options.verbosity == .quiet
        ) { control, channel, escrow in
            AgentProcess.run(
                options: options, controlListener: control, keeper: channel, escrow: escrow,
                port: .forward(to: address))
        }
    }
}
