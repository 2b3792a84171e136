import Agent
import ArgumentParser
import CLinux
import Kernel
import Policy
import SessionHost

/// `usl detect`
struct DetectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detect",
        abstract: "Show whether a destination has a gateway, and how that was found.",
        discussion: """
            It is asked as by `usl run`, and with what other commands have found in the last ten minutes; rules for all \
            programs count. The exit status is 0 if a gateway was found for any address, 1 if for none, 125 if USL failed.

            --probe also asks at the destination's own port, by a connection that is ended at once: a server that serves \
            one connection only takes that for it, unless a gateway stands in front (usl gateway --front).

            Examples:
              usl detect db1:5432
              usl detect db1:22 --probe
              usl detect localhost:22 --plain --json
            """)

    @Argument(help: ArgumentHelp("The destination.", valueName: "host:port"), transform: HostPort.argument)
    var destination: HostPort

    @Flag(help: "Ask in-band too.")
    var probe = false

    @Flag(help: "Look for a gateway whose links are plain.")
    var plain = false

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: ArgumentHelp("A configuration file, whose rules count before the others.", valueName: "file"))
    var policy: String?

    @OptionGroup var state: StateOptions

    func run() throws {
        let rules = try ConfigurationFiles(environment: variable, named: policy).load()
        var options = AgentOptions(state: state.directory)
        options.isPlain = plain
        let places = try destination.resolve().map { (address: $0, verdict: rules.decide(facts(for: $0))) }
        let asked = places.filter { $0.verdict.isOpen }
        let findings = try DestinationSearch.run(
            asked.map { ($0.address, probe ? .probe : $0.verdict.detection) }, options,
            explain: { Diagnostics.report($0) })
        let all = places.map { place in
            findings.first { $0.destination == place.address }.map { DetectReport($0) }
                ?? DetectReport(place.address, place.verdict)
        }
        if json {
            print(JSONValue.object([.init(name: "destinations", value: .array(all.map(\.json)))]).text)
        } else {
            for report in all { print(report.text) }
        }
        if !all.contains(where: \.isFound) { throw ExitCode(1) }
    }

    private func facts(for address: SocketAddress) -> ConnectionFacts {
        let name = SocketAddress.Host(numeric: destination.host) == nil ? [destination.host] : []
        return ConnectionFacts(
            program: "usl", userID: geteuid(),
            userName: getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) },
            .tcp, destination: RuleAddress(address.host), port: address.port, names: name,
            local: (try? address.unmapped.naturalSource()).map { RuleAddress($0.host) })
    }
}

extension Verdict {
    /// Whether it leaves open which gateway it is.
    fileprivate var isOpen: Bool { treatment == .session && gateway == nil }
}
