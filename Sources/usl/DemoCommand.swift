import ArgumentParser
import NetworkLab

/// `usl demo`
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Watch a ping-pong and a bulk transfer survive a reset attack.",
        discussion: """
            Makes two hosts on this machine, connects them, and lets tcpkill reset every connection that it sees: plain \
            ones and those of USL.

            Examples:
              usl demo
              usl demo --seconds 300
            """)

    @Option(help: "How long the programs run.")
    var seconds = 20

    func run() throws {
        var options = Demo.Options()
        options.seconds = seconds
        throw ExitCode(Demo.run(options))
    }
}

/// `usl demo-peer`: the programs that the demo runs.
struct DemoPeerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "demo-peer", shouldDisplay: false)

    @Argument(parsing: .captureForPassthrough)
    var arguments: [String] = []

    func run() throws { throw ExitCode(DemoPeer.run(arguments)) }
}
