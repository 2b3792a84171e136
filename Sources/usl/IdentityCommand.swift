import ArgumentParser
import SessionHost
import Trust

/// `usl identity`
struct IdentityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity",
        abstract: "Show the fingerprint of this end's key, and where the key is.",
        discussion: """
            The key is made on first use. Others know this end by its fingerprint.

            Examples:
              usl identity
              usl identity --json
              sudo usl identity --state /var/lib/usl
            """)

    @OptionGroup var state: StateOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let file = IdentityFile(in: state.directory)
        let fingerprint = try file.load().fingerprint.description
        guard json else { return print("\(fingerprint)  \(file.path)") }
        print(
            JSONValue.object([
                .init(name: "fingerprint", value: .string(fingerprint)), .init(name: "path", value: .string(file.path)),
            ]).text)
    }
}
