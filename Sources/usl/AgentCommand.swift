import Agent
import ArgumentParser
import CLinux
import Interception
import Keeper
import Kernel
import Policy
import SessionHost

/// Who resolves the names that clients of the SOCKS port ask for.
enum NameResolution: String, ExpressibleByArgument {
    case gateway
    case here
}

/// `usl agent`
struct AgentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Serve programs that can use a proxy, or renew a running agent.",
        discussion: """
            With --socks, an agent runs by itself and serves SOCKS5 and HTTP CONNECT at one port, for programs that USL cannot \
            start or change. They hear what became of their connection only when that is known.

            With --replace alone, the agent of a running `usl COMMAND`, `usl forward` or `usl agent --socks` is replaced by this \
            binary, with the options that it was started with; with both, an agent of --socks gets these options. Its \
            connections go on.

            Examples:
              usl agent --socks localhost:1080 --gateway edge
              usl agent --socks localhost:1080 --gateway edge --resolve gateway
              curl --socks5-hostname localhost:1080 https://db1/
              ssh -o ProxyCommand='nc -x localhost:1080 %h %p' db1
              git -c http.proxy=socks5h://localhost:1080 clone https://db1/project
              chromium --proxy-server=socks5://localhost:1080
              ALL_PROXY=socks5h://localhost:1080 program
              HTTPS_PROXY=http://localhost:1080 program
              java -DsocksProxyHost=localhost -DsocksProxyPort=1080 -jar program.jar
              usl agent --replace 4711
            """)

    @Option(
        help: ArgumentHelp("Where programs connect, by SOCKS5 or HTTP CONNECT.", valueName: "host:port"),
        transform: HostPort.argument)
    var socks: HostPort?

    @Option(
        help: ArgumentHelp(
            "Who may connect: a file of lines USER:PASSWORD, which others cannot read.", valueName: "file"))
    var socksUsers: String?

    @Option(
        help: ArgumentHelp(
            "Who resolves the names that programs ask for: the gateway of --gateway, or this machine, the default.",
            valueName: "gateway|here"))
    var resolve = NameResolution.here

    @Flag(
        help: "Serve everybody who can reach the port, also on an address that is no loopback, and without a password.")
    var anyone = false

    @Option(help: treatmentHelp)
    var treatment: Treatment?

    @OptionGroup var agent: AgentArguments

    @Option(
        help: ArgumentHelp("Replace the agent of this process; see the control sockets' names.", valueName: "process"))
    var replace: Int32?

    func validate() throws {
        if socks == nil, replace == nil { throw ValidationError("give --socks HOST:PORT, or --replace PROCESS") }
        let changesNothing = socksUsers == nil && !anyone && resolve == .here && agent.gateway == nil
        if socks == nil, !changesNothing || treatment != nil || agent.detection != nil {
            throw ValidationError("other options than --replace belong to --socks")
        }
        if resolve == .gateway, agent.gateway == nil { throw ValidationError("--resolve gateway needs --gateway") }
        if socksUsers != nil, anyone { throw ValidationError("--socks-users and --anyone exclude each other") }
    }

    func run() throws {
        guard let socks else { return try renew() }
        var options = try agent.options()
        options.gatewayResolves = resolve == .gateway
        options.treatment = treatment
        let users = try socksUsers.map { try SocksUsersFile.read($0) }
        let listen = try socks.resolve()
        if users == nil, !anyone, let open = listen.first(where: { !$0.isLoopback }) {
            throw ArgumentFailure(
                description: "whoever can reach \(open) could connect in your name: give --socks-users FILE with lines "
                    + "USER:PASSWORD, or listen on localhost; --anyone serves everybody all the same")
        }
        if let replace { return try change(replace) }
        try WorkerKeeper.run(
            openControl: { try ControlSocket(of: .agent) }, prepare: { try $0.listen(on: listen) }, name: "agent",
            isQuiet: options.verbosity == .quiet
        ) { [options] control, channel, escrow in
            AgentProcess.run(
                options: options, controlListener: control, keeper: channel, escrow: escrow, port: .socks(users))
        }
    }

    // MARK: - Replacing

    /// Replaces an agent, with the options that it has.
    private func renew() throws {
        guard let replace else { return }
        // Whether this binary understands what the agent was started with: afterwards would be too late to say no.
        _ = try Self.commandLine(of: replace)
        try ReplacementRequest.send(to: .agent, process: replace, arguments: [])
    }

    /// Replaces an agent of `--socks`, with the options of this command.
    private func change(_ process: Int32) throws {
        guard try Self.commandLine(of: process) is AgentCommand else {
            throw ArgumentFailure(
                description: "\(process) is no `usl agent --socks`; without --socks it is replaced as it is")
        }
        var words = words
        while let index = words.firstIndex(of: Array("--replace".utf8)) {
            words.removeSubrange(index..<min(index + 2, words.count))
        }
        words.removeAll { $0.starts(with: Array("--replace=".utf8)) }
        try ReplacementRequest.send(to: .agent, process: process, arguments: [Array("usl".utf8)] + words)
    }

    private static func commandLine(of process: Int32) throws -> any ParsableCommand {
        guard let words = ProcessFiles.arguments(of: process)?.dropFirst() else {
            throw ReplacementRequest.Failure.notThere(.agent)
        }
        switch try USLCommand.splitter.split(Array(words)) {
        case .subcommand(let words): return try USLCommand.parseAsRoot(words)
        case .run(let options, _): return try USLCommand.parseAsRoot(["run"] + options)
        }
    }
}
