import Agent
import ArgumentParser
import CLinux
import Gateway
import Keeper
import Kernel
import Logging
import SessionHost
import SystemPackage
import Transport

/// `usl gateway`
struct GatewayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Run the other end, next to the servers.",
        discussion: """
            A gateway connects only to the targets that it is allowed. A target is HOST:PORT, [IPV6]:PORT, CIDR:PORT or \
            *:PORT, and PORT a number or a range N-M.

            With --front it stands in front of a server, at a port of its own: ordinary clients are relayed to TARGET as if \
            nobody were between, and agents that ask learn that there is a gateway; their sessions to that port go to TARGET \
            too, which needs no --allow.

            Examples:
              usl gateway --allow localhost:22
              usl gateway --front 22=localhost:2222
              usl gateway --allow 10.0.0.0/8:5432 db2:8000-8100 --authorized /etc/usl/authorized
            """)

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Where to listen; 0.0.0.0 and [::] if not given, port 7117.", valueName: "host:port"),
        transform: HostPort.gatewayArgument)
    var listen = [
        HostPort(host: "0.0.0.0", port: AgentOptions.gatewayPort), HostPort(host: "::", port: AgentOptions.gatewayPort),
    ]

    @Option(parsing: .upToNextOption, help: ArgumentHelp("Where to connect for agents.", valueName: "target"))
    var allow: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Serve a port as TARGET does, for everybody; PUBLIC is HOST:PORT or PORT.", valueName: "public=target"))
    var front: [String] = []

    @Flag(help: "Tell servers the client's address, by a PROXY protocol header (version 2). They must expect one.")
    var sendProxy = false

    @Option(
        help: ArgumentHelp(
            """
            Serve only the keys in this file: a fingerprint a line, as `usl identity` prints it, and behind it a name. \
            It may change at any time.
            """, valueName: "file"))
    var authorized: String?

    @OptionGroup var links: LinkOptions

    @Option(help: ArgumentHelp("What links may be carried by; mptcp takes tcp as well.", valueName: "tcp|mptcp"))
    var transport = LinkTransport.tcp

    @OptionGroup var state: StateOptions

    @Flag(
        help: """
            Take the place of the gateway that runs here, with this binary and these options; its sessions go on, and so \
            does its process.
            """)
    var replace = false

    @Flag(help: .hidden)
    var offers = false

    @Option(help: ArgumentHelp("Which gateway to replace, if several run here.", valueName: "process"))
    var pid: Int32?

    /// What a replacement is started with.
    private var ownArguments: [[UInt8]] {
        var words = words
        words.removeAll { $0 == Array("--replace".utf8) }
        while let index = words.firstIndex(of: Array("--pid".utf8)) {
            words.removeSubrange(index..<min(index + 2, words.count))
        }
        words.removeAll { $0.starts(with: Array("--pid=".utf8)) }
        return [Array("usl".utf8)] + words
    }

    func validate() throws {
        if pid != nil, !replace { throw ValidationError("--pid belongs to --replace") }
        if allow.isEmpty, front.isEmpty, !offers {
            throw ValidationError("nothing is allowed: give at least one --allow TARGET or --front PUBLIC=TARGET")
        }
        if let authorized {
            if links.plain { throw ValidationError("--authorized wants keys, which plain links do not show") }
            guard access(authorized, R_OK) == 0 else {
                throw ValidationError("cannot read \(authorized): \(Errno(rawValue: usl_errno()))")
            }
        }
    }

    func run() throws {
        var options = GatewayOptions(
            listen: try listen.flatMap { try $0.resolve() },
            allow: AllowList(try allow.flatMap { try AllowedTarget.parse($0) }), state: state.directory)
        options.fronts = try front.map { try Front.parse($0) }
        if let twice = options.addressGivenTwice { throw ArgumentFailure(description: "\(twice) is given twice") }
        options.isPlain = links.plain
        options.authorized = authorized
        options.sendsProxyHeader = sendProxy
        let files = try links.files()
        options.limits = try files.load().limits
        options.files = files
        options.suspend = links.suspend
        options.isForOffers = offers
        if replace { return try ReplacementRequest.send(to: .gateway, process: pid, arguments: ownArguments) }
        try WorkerKeeper.run(
            openControl: { try ControlSocket(of: .gateway) },
            prepare: { [options] in
                try $0.listen(on: options.listen, transport: transport, fronts: options.fronts.flatMap(\.listen))
                if options.isForOffers {
                    ProcessName.set(ProcessName.offers)
                    $0.holdFirstOffer()
                }
            }
        ) { [options] control, channel, escrow in
            _exit(
                GatewayProcess.run(
                    options, control: control, keeper: channel, escrow: escrow,
                    logger: Logger(label: "usl", factory: LineLogHandler.init)))
        }
    }
}
