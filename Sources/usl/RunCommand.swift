import Agent
import ArgumentParser
import CLinux
import Interception
import Keeper
import Kernel
import Policy

/// `usl [run] [OPTIONS] COMMAND [ARGUMENT...]`
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a program whose connections survive the network.",
        usage: "usl [run] [<options>] [--] <command> [<argument> ...]",
        discussion: """
            Options come first; everything after the command belongs to the command. The exit status is the command's: \
            125 means that USL failed, 126 that the command cannot be executed, 127 that there is none, and 75 that its \
            last bytes were not delivered.

            Without --gateway, USL looks for a gateway at each destination. Where there is none, the program connects as \
            ever; and if that fails or has no answer, other addresses of the same name and other sources are tried.

            Where the command listens, but on loopback alone, a gateway serves that port for as long as the command runs: one of \
            this user that runs here, or else one that is started for that, on port 7117. So `usl ncat -l 1337` on one host and \
            `usl ncat HOST 1337` on another need nothing else.

            Examples:
              usl ssh db1
              usl --gateway edge psql -h db1
              usl --treatment shim curl https://www.example.org
              usl --links mirror --source wlan0 --source wwan0 --gateway edge ssh db1
              usl ncat -l 1337
              usl run -- status          # a program called status
            """)

    @Option(help: treatmentHelp)
    var treatment: Treatment?

    @Flag(help: "Have no gateway serve the ports on which the command listens.")
    var noOffer = false

    @OptionGroup var interception: InterceptionOptions

    @OptionGroup var agent: AgentArguments

    /// For the help alone: the splitter has taken the command away.
    @Argument(help: "The program and its arguments.")
    var command: [String] = []

    /// Runs the command and ends as it ends.
    func run(_ command: [[UInt8]]) throws -> Never {
        var options = try agent.options()
        let treatment = interception.surrounding == nil ? treatment : .direct
        options.treatment = treatment
        options.offers = !noOffer
        let environment = try LaunchEnvironment()
        let says = agent.says.verbosity
        let program = ProgramFile.find(command[0])
        let interceptors = interception.interceptors(for: program, datagramPorts: options.datagramPorts)
        let name = String(decoding: command[0], as: UTF8.self)
        if says == .verbose { Diagnostics.report(interception.explanation(name, program)) }
        if says > .quiet, let trap = interception.surrounding {
            Diagnostics.report(
                "\(name): another usl intercepts it already (by \(trap)), and the options of that one count")
        }
        let canDonate = interceptors.allSatisfy(\.loadsLibrary)
        let remark =
            says > .quiet && treatment != .direct ? program?.remark(name, canDonate: canDonate) : nil
        if let remark, canDonate { Diagnostics.report(remark) }
        if says > .quiet, !canDonate, let remark = program?.remark(name, under: interceptors[0].name) {
            Diagnostics.report(remark)
        }
        Launcher.run(command, isQuiet: says == .quiet, interceptors: interceptors) { lacks, next in
            if !next.loadsLibrary {
                if says == .verbose { Diagnostics.report("\(name): intercepted by \(next.name) (\(lacks))") }
            } else if let remark {
                // The library is left, which does not reach it.
                Diagnostics.report("\(remark) (\(lacks))")
            }
        } openControl: {
            try ControlSocket(of: .agent) {
                environment.variables(agent: $0, options, preloads: program?.takesLibrary ?? true)
            }
        } agent: { control, channel, escrow in
            AgentProcess.run(options: options, controlListener: control, keeper: channel, escrow: escrow)
        }
    }
}

extension AgentOptions {
    /// UDP ports of which datagrams concern USL.
    fileprivate var datagramPorts: [ClosedRange<UInt16>] {
        treatment == .direct ? [] : configuration.datagramPorts
    }
}

extension LaunchEnvironment {
    /// The variables that a program needs, and no others: the rest of its environment stays as it is, byte for byte.
    fileprivate func variables(
        agent path: String, _ options: AgentOptions, preloads: Bool
    ) -> [String: String] {
        let preloaded = variable("LD_PRELOAD").map { ["LD_PRELOAD=\($0)"] } ?? []
        var variables: [String: String] = [:]
        let isMultipath = options.transport == .mptcp
        for entry in applied(
            to: preloaded, agent: path, datagramPorts: options.datagramPorts, isMultipath: isMultipath,
            preloads: preloads)
        {
            guard let equals = entry.firstIndex(of: "=") else { continue }
            variables[String(entry[..<equals])] = String(entry[entry.index(after: equals)...])
        }
        return variables
    }
}
