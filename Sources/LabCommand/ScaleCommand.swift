import ArgumentParser
import Glibc
import Kernel
import NetworkLab

/// `usl-lab scale`
struct ScaleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale",
        abstract: "Measures what many sessions cost: memory, time while idle, and coming back all at once.",
        discussion: """
            Each session has six sockets here, all ends being on this machine. As root, since the limits of descriptors are raised. Prints \
            a table in Markdown. Exits with 1 when a session was lost.
            """)

    @Option(help: "The command to measure.")
    var usl: String

    @Option(help: "How many sessions; several numbers, each in a lab of its own.")
    var sessions = [1, 1000, 20_000, 50_000]

    @Flag(help: "Links over TLS.")
    var tls = false

    @Option(help: "How many seconds nothing happens.")
    var idle = 10

    func validate() throws {
        guard sessions.allSatisfy({ (1...60_000).contains($0) }), idle > 0 else {
            throw ValidationError("between 1 and 60000 sessions, and at least one second")
        }
    }

    func run() throws {
        Glibc.exit(
            try Scale.run(.init(usl: usl, sessions: sessions, isEncrypted: tls, idle: .seconds(idle))))
    }
}

/// The programs at both ends of a crowd; `scale` starts them.
struct CrowdCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crowd", shouldDisplay: false, subcommands: [Serve.self, Run.self])

    struct Serve: ParsableCommand {
        @Argument var port: UInt16

        func run() { Glibc.exit(CrowdServer.run(port: port)) }
    }

    struct Run: ParsableCommand {
        @Argument var host: String
        @Argument var port: UInt16
        @Argument var count: Int

        func run() throws {
            guard let host = SocketAddress.Host(numeric: host) else { throw ValidationError("not an address") }
            Glibc.exit(CrowdClient.run(to: SocketAddress(host: host, port: port), count: count))
        }
    }
}
