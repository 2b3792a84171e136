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

    @Option(
        help: ArgumentHelp("The gateway; its port is 7117 unless given.", valueName: "host:port"),
        transform: HostPort.gatewayArgument)
    var gateway: HostPort?

    @Option(help: detectionHelp)
    var detection: DetectionMode?

    @OptionGroup var links: LinkOptions

    @OptionGroup var trust: TrustOptions

    @OptionGroup var paths: PathOptions

    @OptionGroup var says: VerbosityOptions

    func run() throws {
        var agent = AgentOptions(state: trust.state.directory)
        if let gateway {
            agent.gateway = .init(name: gateway, addresses: try gateway.resolve())
        }
        agent.detection = detection
        try links.apply(to: &agent)
        agent.pin = trust.pin
        agent.verbosity = says.verbosity
        try paths.apply(to: &agent)
        guard let address = try target.resolve().first else { return }
        let listen = try listen.resolve()
        try WorkerKeeper.run(
            openControl: { try ControlSocket(of: .agent) }, prepare: { try $0.listen(on: listen) }, name: "agent",
            isQuiet: agent.verbosity == .quiet
        ) { [agent] control, channel, escrow in
            AgentProcess.run(
                options: agent, controlListener: control, keeper: channel, escrow: escrow,
                port: .forward(to: address))
        }
    }
}
