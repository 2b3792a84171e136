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
        @Option var notableMicroseconds: UInt64 = 20_000
        @Option var tickMilliseconds: UInt64?

        func run() throws {
            let parsed = orders.compactMap { TrafficOrder(text: $0) }
            guard parsed.count == orders.count else { throw ValidationError("not an order") }
            var telling = TrafficPeer.Telling()
            telling.notable = notableMicroseconds * 1000
            telling.ticks = tickMilliseconds.map { $0 * 1_000_000 }
            Glibc.exit(TrafficPeer.run(parsed, host: host, port: port, telling: telling))
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
