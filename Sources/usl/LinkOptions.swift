import Agent
import ArgumentParser
import Kernel
import Policy
import SessionHost

/// Options about links, shared by the commands that make them.
struct LinkOptions: ParsableArguments {
    @Flag(help: "Links are plain: whoever is on the path can read and change them. Both ends must say so.")
    var plain = false

    @Option(
        help: ArgumentHelp(
            "How long a session may be without a link; 24h unless a configuration says otherwise.",
            valueName: "duration"),
        transform: suspendArgument)
    var suspend: Duration?

    @Option(
        help: ArgumentHelp(
            "A configuration file; its limits count instead of the machine's and the user's, its rules before theirs.",
            valueName: "file"))
    var policy: String?

    /// Where the configuration is.
    func files() throws -> ConfigurationFiles { try ConfigurationFiles(environment: variable, named: policy) }

    /// Puts what an agent is told of links, and of rules, into its options.
    func apply(to options: inout AgentOptions) throws {
        let files = try files()
        options.configuration = try files.load()
        options.files = files
        options.isPlain = plain
        options.suspend = suspend
    }

    private static func suspendArgument(_ text: String) throws -> Duration {
        guard let duration = DurationText.parse(text) else {
            throw ArgumentFailure(
                description: "'\(text)' is no duration; write it as 250ms, 30s, 15m, 24h or 7d")
        }
        guard Limits.suspendRange.contains(duration) else {
            let (least, most) = (Limits.suspendRange.lowerBound, Limits.suspendRange.upperBound)
            throw ArgumentFailure(
                description: "--suspend must be between \(DurationText.text(least)) and \(DurationText.text(most))")
        }
        return duration
    }
}

/// How much an agent says.
struct VerbosityOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Say only what makes the program fail.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Say what each connection gets, and why.")
    var verbose = false

    func validate() throws {
        if quiet && verbose { throw ValidationError("-q and -v exclude each other") }
    }

    var verbosity: AgentOptions.Verbosity { quiet ? .quiet : verbose ? .verbose : .normal }
}

/// A word of the command line that cannot be used.
struct ArgumentFailure: Error, CustomStringConvertible {
    let description: String
}

extension HostPort {
    /// Reads an address of the command line.
    static func argument(_ text: String) throws -> HostPort {
        guard let address = HostPort(text) else { throw ArgumentFailure(description: "'\(text)' is no HOST:PORT") }
        return address
    }

    /// Likewise, of a gateway.
    static func gatewayArgument(_ text: String) throws -> HostPort {
        guard let address = HostPort(text, defaultPort: AgentOptions.gatewayPort) else {
            throw ArgumentFailure(description: "'\(text)' is no HOST or HOST:PORT")
        }
        return address
    }
}
