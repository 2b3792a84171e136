import ArgumentParser
import Glibc
import Kernel
import NetworkLab

/// `usl-lab flood`
struct FloodCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flood",
        abstract: "Floods a gateway with connections that have no session, while sessions go on beside it.",
        discussion: "Exits with 1 when a byte was lost, a session was not opened, or the flood was none.")

    @Option(help: "The command to put to the test.")
    var usl: String

    @Option(help: "How many connections.")
    var connections = 50_000

    @Option(help: "From how many addresses, 250 at most.")
    var addresses: UInt32 = 200

    @Option(help: "How many seconds the flood may take.")
    var seconds = 120

    func validate() throws {
        guard (1...250).contains(addresses) else { throw ValidationError("--addresses is between 1 and 250") }
    }

    func run() throws {
        Glibc.exit(
            try Flood.run(
                .init(usl: usl, connections: connections, addresses: addresses, limit: .seconds(seconds))))
    }
}

/// The flood's own process; `flood` starts it.
struct FloodFromCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "flood-from", shouldDisplay: false)

    @Argument var first: String
    @Argument var addresses: UInt32
    @Argument var target: String
    @Argument var connections: Int
    @Argument var seconds: Int

    func run() throws {
        guard case .v4(let first)? = SocketAddress.Host(numeric: first), let host = SocketAddress.Host(numeric: target)
        else { throw ValidationError("not an address") }
        Glibc.exit(
            FloodPeer.run(
                to: SocketAddress(host: host, port: 7117), from: first, addresses: addresses, count: connections,
                within: .seconds(seconds)))
    }
}
