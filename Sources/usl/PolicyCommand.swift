import ArgumentParser

/// `usl policy`
struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "Explain what the rules of usl.toml say about a connection.",
        discussion: """
            Examples:
              usl policy check psql db1:5432
              usl policy check /usr/bin/dig 192.0.2.53:53 --udp
            """,
        subcommands: [PolicyCheckCommand.self])
}
