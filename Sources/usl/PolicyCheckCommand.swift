import ArgumentParser
import CLinux
import Interception
import Kernel
import Policy
import SessionHost

/// `usl policy check`
struct PolicyCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Tell which rule matches a connection, why those before it do not, and what the connection gets.",
        discussion: """
            The program is looked up in PATH unless there is a slash in it, and so is a name's address; the connection is \
            one of the user who asks. Options that a command is started with are not considered. Mistakes in the files \
            are told with their lines, and the exit status is 125 then.

            Examples:
              usl policy check psql db1:5432
              usl policy check /usr/bin/dig 192.0.2.53:53 --udp
              usl policy check curl '[2001:db8::1]:443' --policy ./usl.toml
            """)

    @Argument(help: "The program's name or path.")
    var program: String

    @Argument(
        help: ArgumentHelp("Where it connects.", valueName: "host:port"), transform: HostPort.argument)
    var destination: HostPort

    @Flag(help: "A datagram is sent, instead of a TCP connection made.")
    var udp = false

    @Option(help: ArgumentHelp("A configuration file, whose rules count before the others.", valueName: "file"))
    var policy: String?

    func run() throws {
        let configuration = try ConfigurationFiles(environment: variable, named: policy).load()
        let name = SocketAddress.Host(numeric: destination.host) == nil ? destination.host : nil
        var said: [(addresses: [String], lines: [String])] = []
        // A name's addresses mostly get the same: said once.
        for address in try destination.resolve() {
            let lines = explain(facts(address, name, configuration), configuration)
            if let index = said.firstIndex(where: { $0.lines == lines }) {
                said[index].addresses.append("\(address.host)")
            } else {
                said.append((["\(address.host)"], lines))
            }
        }
        for (addresses, lines) in said {
            let place = name.map { "\($0) (\(addresses.joined(separator: ", ")))" } ?? addresses.joined(separator: ", ")
            print("\(program) to \(place), port \(destination.port)/\(udp ? "udp" : "tcp"):")
            for line in lines { print("  \(line)") }
        }
    }

    private func facts(_ address: SocketAddress, _ name: String?, _ configuration: Configuration) -> ConnectionFacts {
        let local = configuration.asksForLocalAddresses ? try? address.unmapped.naturalSource() : nil
        return ConnectionFacts(
            program: executable, userID: geteuid(),
            userName: getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) },
            udp ? .udp : .tcp, destination: RuleAddress(address.host), port: address.port,
            names: name.map { [$0] } ?? [],
            local: local.map { RuleAddress($0.host) })
    }

    /// As the kernel will know it (proc_pid_exe(5)): without symbolic links.
    private var executable: String {
        var candidates = [program]
        if !program.contains("/") {
            candidates = (variable("PATH") ?? "").split(separator: ":").map { "\($0)/\(program)" }
        }
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }), let path = realpath(found, nil) else {
            return program
        }
        defer { free(path) }
        return String(cString: path)
    }

    private func explain(_ facts: ConnectionFacts, _ configuration: Configuration) -> [String] {
        let vain = configuration.refusals(facts).map { refusal in
            "\(refusal.origin): no, \(refusal.key.rawValue) is \(actual(refusal.key, facts)), and the rule wants \(refusal.wanted)"
        }
        let verdict = configuration.decide(facts)
        let origin = verdict.origin.map { "\($0): yes" } ?? "no rule matches; what holds without one"
        return vain + [origin] + verdict.text.map { "  \($0)" }
    }

    private func actual(_ key: Rule.Key, _ facts: ConnectionFacts) -> String {
        switch key {
        case .protocol: facts.connectionProtocol.rawValue
        case .program: facts.program
        case .user: facts.userName.map { "\($0) (\(facts.userID))" } ?? "\(facts.userID)"
        case .port: "\(facts.port)"
        case .local: facts.local?.description ?? "unknown"
        case .destination: (facts.names + [facts.destination.description]).joined(separator: ", ")
        }
    }
}
