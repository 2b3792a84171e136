import ArgumentParser
import Glibc
import Kernel
import NetworkLab

/// `usl-lab connect`
struct ConnectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect",
        abstract: "Measures how long it takes to connect to ordinary peers, with the shim and without.",
        discussion: """
            First to names of which some addresses do not answer, then to one that does. Prints tables in Markdown. Needs nft, \
            curl, ncat and python3.
            """)

    @Option(help: "The command to measure.")
    var usl: String

    @Option(help: "How often everything is measured.")
    var runs = 9

    @Option(help: "Connections of each run to a server that answers.")
    var connections = 500

    @Flag(help: "Measure connections to the server that answers alone.")
    var healthy = false

    func validate() throws {
        guard runs > 0, connections > 0 else { throw ValidationError("--runs and --connections are at least 1") }
    }

    func run() throws {
        if !healthy {
            try DeadAddresses.measure(usl: usl, runs: runs)
            show("")
        }
        try HealthyPath.measure(usl: usl, runs: runs, connections: connections)
    }
}

/// The programs at both ends of what is measured.
struct ConnectPeerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect-peer", shouldDisplay: false, subcommands: [Serve.self, Run.self])

    struct Serve: ParsableCommand {
        @Argument var port: UInt16

        func run() { Glibc.exit(ConnectPeer.serve(port: port)) }
    }

    struct Run: ParsableCommand {
        @Argument var host: String
        @Argument var port: UInt16
        @Argument var count: Int
        @Flag var nonblocking = false

        func run() throws {
            guard let host = SocketAddress.Host(numeric: host) else { throw ValidationError("not an address") }
            let target = SocketAddress(host: host, port: port)
            Glibc.exit(ConnectPeer.run(to: target, count: count, blocks: !nonblocking))
        }
    }
}
