import Agent
import ArgumentParser
import Kernel

/// Options about links, shared by the commands that make them.
struct LinkOptions: ParsableArguments {
    @Flag(help: "Let links leave this machine without encryption. Both ends must say so.")
    var plain = false

    @Option(
        help: ArgumentHelp("How long a session may be without a link.", valueName: "duration"),
        transform: DurationText.parse)
    var suspend = Duration.seconds(24 * 3600)
}

/// An address of the command line that cannot be used.
struct AddressFailure: Error, CustomStringConvertible {
    let description: String
}

extension HostPort {
    /// Reads an address of the command line.
    static func argument(_ text: String) throws -> HostPort {
        guard let address = HostPort(text) else { throw AddressFailure(description: "'\(text)' is no HOST:PORT") }
        return address
    }

    /// Likewise, of a gateway.
    static func gatewayArgument(_ text: String) throws -> HostPort {
        guard let address = HostPort(text, defaultPort: AgentOptions.gatewayPort) else {
            throw AddressFailure(description: "'\(text)' is no HOST or HOST:PORT")
        }
        return address
    }

    /// Its addresses, where links are made.
    func resolvedForLinks(plain: Bool) throws -> [SocketAddress] {
        let addresses = try resolve()
        if !plain, let outside = addresses.first(where: { !$0.isLoopback }) {
            throw AddressFailure(
                description: "links at \(outside) are not encrypted yet; "
                    + "if that is what you want, give --plain at both ends")
        }
        return addresses
    }
}
