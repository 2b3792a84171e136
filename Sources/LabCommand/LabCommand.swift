import ArgumentParser
import Glibc
import NetworkLab

/// `usl-lab`: the programs that the lab and its tests start, and the long runs on it. Not installed.
@main
struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usl-lab", abstract: "Programs of the network lab.",
        subcommands: [
            PathCommand.self, TrafficCommand.self, ChaosCommand.self, FaultsCommand.self, FloodCommand.self,
            FloodFromCommand.self, ConnectCommand.self, ConnectPeerCommand.self, ScaleCommand.self, CrowdCommand.self,
        ])
}

/// The process that is a path; the lab starts it.
struct PathCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "path", shouldDisplay: false)

    @Argument var interfaces: [String]

    func run() { Glibc.exit(PathRelay.run(interfaces)) }
}
