import CLinux
import Engine
import Interception
public import Keeper
public import Kernel
import SessionHost
import SessionProtocol
import SystemPackage

/// The agent of `usl COMMAND`, `usl forward` or `usl agent --socks`, a process of its own.
public final class AgentProcess {
    /// Most programs open few connections at a time; more threads would cost them more than they bring.
    private static let maximumLoops = 4

    private let loop: EventLoop
    private let pool: LoopPool
    private var agent: Agent?
    private var control: ControlServer?
    private var forward: Forward?
    private var socks: SocksPort?
    private var configurationWatch: ConfigurationWatch?

    /// Runs until the keeper says `end` or dies. Every signal is blocked, and the process has one thread.
    ///
    /// - Parameters:
    ///   - controlListener: where the programs ask; it stays the keeper's.
    ///   - escrow: what a predecessor has left, and listeners.
    ///   - port: what is done with connections that come at these listeners; nil: there are none.
    public static func run(
        options: AgentOptions, controlListener: consuming Descriptor, keeper: consuming EscrowChannel,
        escrow: consuming Escrow, port: ListeningPort? = nil
    ) -> Never {
        DescriptorLimit.raise()
        var estate = Estate(escrow)
        do throws(Errno) {
            let loops = min(Processors.available, maximumLoops)
            let memory = options.configuration.limits.memory
            let limits = ArenaLimits(capacity: memory)
            let budget = MemoryBudget(limit: memory)
            let loop = try EventLoop(estate.takeMainArena(limits: limits, budget: budget))
            let process = AgentProcess(loop, LoopPool(main: loop, maximum: loops, arenaLimits: limits))
            try process.start(options, controlListener, keeper, estate, port)
            loop.run()
            _exit(0)
        } catch {
            var notices = Notices(options.verbosity)
            notices.warn("the agent cannot start: \(error)")
            _exit(125)
        }
    }

    private init(_ loop: EventLoop, _ pool: LoopPool) {
        self.loop = loop
        self.pool = pool
    }

    private func start(
        _ options: AgentOptions, _ controlListener: consuming Descriptor, _ keeper: consuming EscrowChannel,
        _ estate: consuming Estate, _ port: ListeningPort?
    ) throws(Errno) {
        let escrow = try EscrowClient(keeper, above: estate.largestKeys, on: loop) { [unowned self] message in
            received(message)
        }
        let ledger = try SessionLedger(&estate, escrow: escrow)
        pool.escrowArenas(in: escrow, adopting: &estate)
        let agent = Agent(options, pool: pool, escrow: escrow, ledger: ledger)
        self.agent = agent
        watchConfiguration(options, agent)
        if let failure = estate.failure {
            agent.notices.warn("cannot go on with the connections of before: \(failure)")
        }
        let listeners = estate.takeListeners()
        agent.settle(estate)
        control = try ControlServer(
            controlListener, on: loop, pool: pool, escrow: escrow,
            connect: .init(
                connect: { library, asked, blocks, process, socket in
                    ConnectRequest.handle(library, asked, blocks: blocks, by: process, socket, agent)
                },
                names: { agent.knownSockets.names(of: $0) }, resolved: { agent.resolved($0) },
                associate: { agent.relays.associate($0, $1, connecting: $2, $3) },
                relayed: { agent.relays.name(at: $0, local: $1) },
                held: { DonatedConnection.handle($0, $1, $2, $3, agent) },
                listen: { DonatedListener.handle($0, $1, isDual: $2, agent) },
                listening: { agent.offers.listening(at: $0, process: $1) },
                client: { agent.offers.client(at: $0, answer: $1) },
                datagrams: { DonatedDatagrams.handle($0, $1, agent) },
                relayDatagrams: { agent.relays.associate($0, $1, connecting: true, $3, process: $2) }))
        switch port {
        case .forward(let target): forward = try Forward(from: listeners, to: target, agent)
        case .socks(let users): socks = try SocksPort(at: listeners, for: users, agent)
        case nil: break
        }
        escrow.reportReady()
    }

    private func watchConfiguration(_ options: AgentOptions, _ agent: Agent) {
        guard let files = options.files else { return }
        let watch = ConfigurationWatch(files, on: loop) { agent.configurationChanged($0) }
        // They may have changed since this process, or the one before it, was started.
        if let current = watch.current, current != options.configuration { agent.use(current) }
        if !watch.isWatching {
            agent.notices.explain(
                "the kernel does not tell of changes to the configuration (fs.inotify.max_user_instances)")
        }
        configurationWatch = watch
    }

    private func received(_ message: KeeperMessage?) {
        switch message {
        case .reload: configurationWatch?.reload()
        case .programEnded: agent?.programEnded()
        case .detach: Diagnostics.detach()
        case .end, nil: pool.endSessions { $0.stop() }
        }
    }
}
