import Agent
import ArgumentParser
import Engine
import Kernel
import SessionProtocol
import Transport

/// Options about the ways that links take, shared by the commands that make links.
struct PathOptions: ParsableArguments {
    @Option(
        name: .customLong("links"),
        help: ArgumentHelp("What several links are for; failover by default.", valueName: "failover|mirror|stripe"),
        transform: LinkMode.argument)
    var mode: LinkMode?

    @Option(
        name: .customLong("source"),
        help: ArgumentHelp(
            "Where links begin. Give it once for each path; without it, routing decides.",
            valueName: "address|interface"),
        transform: LinkSource.argument)
    var sources: [LinkSource] = []

    @Option(
        help: ArgumentHelp(
            "TCP or Multipath TCP, for links and the program's own sockets; tcp by default.", valueName: "tcp|mptcp"))
    var transport: LinkTransport?

    func validate() throws {
        guard sources.count <= LinkPaths.maximumSources else {
            throw ValidationError("at most \(LinkPaths.maximumSources) --source can be given")
        }
        if let repeated = sources.first(where: { source in sources.count { $0 == source } > 1 }) {
            throw ValidationError("--source \(repeated) is given twice")
        }
    }

    /// Puts them into what an agent is told, and says what this machine lacks for them.
    func apply(to options: inout AgentOptions) throws {
        options.mode = mode
        options.transport = transport
        if transport == .mptcp, !LinkTransport.mptcp.isAvailable {
            options.transport = .tcp
            if options.verbosity == .verbose {
                Diagnostics.report("this kernel has no multipath TCP, or net.mptcp.enabled is 0; all is TCP")
            }
        }
        guard !sources.isEmpty else { return }
        options.sources = sources
        if let gateway = options.gateway { try checkFamilies(gateway) }
        // Without the kernel's answer there is nothing to check against, and links will tell.
        guard let network = try? NetworkMonitor().state else { return }
        let missing = sources.filter { !$0.exists(in: network) }
        if missing.count == sources.count {
            let names = missing.map(\.description).joined(separator: " or ")
            throw SourceFailure(
                description: "links cannot begin at \(names): this machine has no such interface or address; "
                    + "its interfaces are \(network.interfaceNames.joined(separator: ", "))")
        }
        if options.verbosity > .quiet {
            for source in missing {
                Diagnostics.report("there is no \(source) here yet; a link begins there when it comes")
            }
        }
    }

    private func checkFamilies(_ gateway: AgentOptions.Gateway) throws {
        guard let source = sources.first(where: { source in !gateway.addresses.contains(where: source.suits) }) else {
            return
        }
        let addresses = gateway.addresses.map(\.description).joined(separator: " and ")
        throw SourceFailure(
            description: "links from \(source) cannot lead to the gateway at \(addresses): "
                + "one is IPv4, the other IPv6")
    }
}

/// A source of links that cannot be used.
private struct SourceFailure: Error, CustomStringConvertible {
    let description: String
}

extension LinkSource {
    fileprivate static func argument(_ text: String) throws -> LinkSource {
        guard let source = LinkSource(text) else {
            throw SourceFailure(description: "'\(text)' is neither an address nor the name of an interface")
        }
        return source
    }
}

extension LinkMode {
    private static let names: [(String, LinkMode)] = [
        ("failover", .failover), ("mirror", .mirror), ("stripe", .stripe),
    ]

    fileprivate static func argument(_ text: String) throws -> LinkMode {
        guard let mode = names.first(where: { $0.0 == text })?.1 else {
            throw ValidationError("'\(text)' is none of failover, mirror and stripe")
        }
        return mode
    }
}

extension LinkTransport: ExpressibleByArgument {}
