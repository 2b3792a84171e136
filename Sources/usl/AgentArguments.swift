import Agent
import ArgumentParser
import Kernel
import Policy

/// Options of every agent: which gateway, and how it is reached.
struct AgentArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The gateway of every connection; its port is 7117 unless given.", valueName: "host:port"),
        transform: HostPort.gatewayArgument)
    var gateway: HostPort?

    @Option(help: detectionHelp)
    var detection: DetectionMode?

    @OptionGroup var links: LinkOptions

    @OptionGroup var trust: TrustOptions

    @OptionGroup var paths: PathOptions

    @OptionGroup var says: VerbosityOptions

    func options() throws -> AgentOptions {
        var options = AgentOptions(state: trust.state.directory)
        if let gateway {
            options.gateway = .init(name: gateway, addresses: try gateway.resolve())
        }
        options.detection = detection
        try links.apply(to: &options)
        options.pin = trust.pin
        options.verbosity = says.verbosity
        try paths.apply(to: &options)
        return options
    }
}

extension DetectionMode: ExpressibleByArgument {}

/// Of `--detection`.
let detectionHelp = ArgumentHelp(
    "How to find out whether an unknown destination has a gateway: not at all, at port 7117, or also in-band, which a server "
        + "for one connection only takes for that one; as the rules say, or else port.",
    valueName: "off|port|probe")

extension Treatment: ExpressibleByArgument {}

/// Of `--treatment`.
let treatmentHelp = ArgumentHelp(
    "What connections get; without it, rules decide, and without a rule it is a session where a gateway is found.",
    valueName: "session|shim|shim-sources|direct|refuse")
