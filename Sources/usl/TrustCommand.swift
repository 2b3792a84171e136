import ArgumentParser
import CLinux
import Kernel
import Transport
import Trust

/// `usl trust`
struct TrustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trust",
        abstract: "Show and change which key each gateway is known by.",
        discussion: """
            A gateway is known by the name that it is asked for, never by an address. Pins do not expire.

            Examples:
              usl trust list
              usl trust add db1 SHA256:YW5vdGhlciBzYW1wbGUsIGl0IGlzIG5vdCByZWFsIGs
              usl trust remove db1
            """,
        subcommands: [TrustListCommand.self, TrustAddCommand.self, TrustRemoveCommand.self])
}

/// `usl trust list`
struct TrustListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show all gateways that are known.",
        discussion: """
            Examples:
              usl trust list
              usl trust list --json
            """)

    @OptionGroup var state: StateOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let pins = try PinStore(in: state.directory).read()
        for mistake in pins.mistakes { Diagnostics.report("\(mistake)") }
        if json {
            let values = pins.pins.map { pin in
                JSONValue.object([
                    .init(name: "name", value: .string(pin.name)),
                    .init(name: "fingerprint", value: .string(pin.fingerprint.description)),
                    .init(name: "since", value: .string(pin.date)),
                ])
            }
            return print(JSONValue.object([.init(name: "pins", value: .array(values))]).text)
        }
        guard !pins.pins.isEmpty else { return }
        let rows = [("NAME", "FINGERPRINT", "SINCE")] + pins.pins.map { ($0.name, "\($0.fingerprint)", $0.date) }
        let widths = (rows.map(\.0.count).max() ?? 0, rows.map(\.1.count).max() ?? 0)
        for row in rows { print("\(padded(row.0, widths.0))  \(padded(row.1, widths.1))  \(row.2)") }
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: width - text.count)
    }
}

/// `usl trust add`
struct TrustAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Know a gateway by this key, in place of the one that it may be known by.",
        discussion: """
            `usl identity` shows the fingerprint where the gateway runs.

            Examples:
              usl trust add db1 SHA256:YW5vdGhlciBzYW1wbGUsIGl0IGlzIG5vdCByZWFsIGs
            """)

    @OptionGroup var state: StateOptions

    @Argument(
        help: ArgumentHelp("The gateway as `--gateway` names it; port 7117 if none is given.", valueName: "name"),
        transform: HostPort.gatewayArgument)
    var name: HostPort

    @Argument(help: "SHA256: and 43 characters.", transform: Fingerprint.argument)
    var fingerprint: Fingerprint

    func run() throws {
        let date = Timestamp.text(seconds: time(nil))
        try PinStore(in: state.directory).add(fingerprint, of: name.description, date: date)
    }
}

/// `usl trust remove`
struct TrustRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Forget the key of a gateway.",
        discussion: """
            Examples:
              usl trust remove db1
            """)

    @OptionGroup var state: StateOptions

    @Argument(
        help: ArgumentHelp("The gateway as `usl trust list` shows it; port 7117 if none is given.", valueName: "name"),
        transform: HostPort.gatewayArgument)
    var name: HostPort

    func run() throws {
        guard try PinStore(in: state.directory).remove(name.description) else {
            throw ArgumentFailure(description: "no key is pinned for \(name)")
        }
    }
}

extension Fingerprint {
    /// Reads one of the command line.
    static func argument(_ text: String) throws -> Fingerprint {
        guard let fingerprint = Fingerprint(text) else {
            throw ArgumentFailure(
                description: "'\(text)' is no fingerprint; it is SHA256: and 43 characters, as `usl identity` prints it"
            )
        }
        return fingerprint
    }
}
