import ArgumentParser
import CLinux
import Keeper
import Kernel

/// `usl`
struct USLCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usl",
        abstract: "Programs keep their connections when the network does not.",
        usage: """
            usl [<options>] <command> [<argument> ...]
            usl <subcommand> ...
            """,
        discussion: """
            A word that is no subcommand is a program; `usl ssh db1` is `usl run ssh db1`. See `usl run --help` for its \
            options.

            Examples:
              usl ssh db1
              usl gateway --plain --allow localhost:22
              usl status
              usl demo
            """,
        version: version,
        subcommands: [
            RunCommand.self, GatewayCommand.self, AgentCommand.self, ForwardCommand.self, StatusCommand.self,
            DropCommand.self, DetectCommand.self, IdentityCommand.self, TrustCommand.self, PolicyCommand.self,
            DoctorCommand.self,
            DemoCommand.self, DemoPeerCommand.self,
        ])

    static let version = "0.1.0"

    static let splitter = CommandLineSplitter(
        subcommands: Set(configuration.subcommands.compactMap { $0.configuration.commandName }),
        valueOptions: [
            "--gateway", "--treatment", "--intercept", "--suspend", "--policy", "--links", "--source", "--pin",
            "--state",
            "--transport", "--detection",
        ],
        flags: [
            "--plain", "--no-offer", "--donate-udp", "-q", "--quiet", "-v", "--verbose", "-h", "--help", "--version",
        ])

    /// Does what the words after the program's name ask for, and exits.
    static func run(_ words: [[UInt8]]) -> Never {
        do {
            switch try splitter.split(words) {
            case .subcommand(let words):
                var command = try parseAsRoot(words)
                try command.run()
                CLinux.exit(0)
            case .run(let options, let command):
                var parsed = try parseAsRoot(["run"] + options)
                guard let run = parsed as? RunCommand else {
                    // Help was asked for.
                    try parsed.run()
                    CLinux.exit(0)
                }
                guard !command.isEmpty else { throw ValidationError("no command to run") }
                try run.run(command)
            }
        } catch {
            fail(error)
        }
    }

    /// Says what is wrong, or what was asked for, as `--help` does.
    private static func fail(_ error: any Error) -> Never {
        if let code = error as? ExitCode { CLinux.exit(code.rawValue) }
        if exitCode(for: error) == .success {
            print(fullMessage(for: error))
            CLinux.exit(0)
        }
        for line in message(for: error).split(separator: "\n") { Diagnostics.report(String(line)) }
        if error is CommandLineSplitter.Failure || exitCode(for: error) == .validationFailure {
            Diagnostics.report("see usl --help")
        }
        CLinux.exit(Launcher.ExitStatus.failed)
    }
}
