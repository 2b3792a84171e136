import ArgumentParser
import Glibc
import NetworkLab

/// The unmodified programs of tests, chaos and measurements.
struct TrafficCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "traffic", abstract: "Sends and checks bytes in many ways.",
        subcommands: [Serve.self, Run.self, Mix.self])

    struct Serve: ParsableCommand {
        @Argument var port: UInt16

        func run() { Glibc.exit(TrafficPeer.serve(port: port)) }
    }

    struct Run: ParsableCommand {
        @Argument var host: String
        @Argument var port: UInt16
        @Argument var orders: [String]

        func run() throws {
            let parsed = orders.compactMap { TrafficOrder(text: $0) }
            guard parsed.count == orders.count else { throw ValidationError("not an order") }
            Glibc.exit(TrafficPeer.run(parsed, host: host, port: port))
        }
    }

    struct Mix: ParsableCommand {
        @Argument var host: String
        @Argument var port: UInt16
        @Option var seed: UInt64 = 1
        @Option var connections = 10
        @Option var seconds = 10

        func run() {
            Glibc.exit(
                TrafficPeer.mix(seed: seed, connections: connections, seconds: seconds, host: host, port: port))
        }
    }
}
