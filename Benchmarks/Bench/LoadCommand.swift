import ArgumentParser
import Kernel

/// The programs at both ends of what is measured; `run` starts them.
struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", shouldDisplay: false, subcommands: [Serve.self, Bulk.self, Ping.self, Connect.self])

    struct Serve: ParsableCommand {
        @Argument var port: UInt16

        func run() throws { try LoadServer.run(port: port) }
    }

    struct Client: ParsableArguments {
        @Argument var host: String
        @Argument var port: UInt16
        @Option var connections = 1
        @Option var seconds = 1.0

        func client() throws -> LoadClient {
            guard let host = SocketAddress.Host(numeric: host) else { throw ValidationError("not an address") }
            return LoadClient(
                target: SocketAddress(host: host, port: port), connections: connections, seconds: seconds)
        }
    }

    struct Bulk: ParsableCommand {
        @OptionGroup var client: Client
        @Option var size = LoadConnection.bufferSize
        @Flag var both = false

        func run() throws { try client.client().bulk(size, both: both) }
    }

    struct Ping: ParsableCommand {
        @OptionGroup var client: Client
        @Option var size = 64
        @Flag var besideBulk = false

        func run() throws { try client.client().ping(size, besideBulk: besideBulk) }
    }

    struct Connect: ParsableCommand {
        @OptionGroup var client: Client
        /// Of each thread, at most.
        @Option var count = 2000

        func run() throws { try client.client().connect(count) }
    }
}
