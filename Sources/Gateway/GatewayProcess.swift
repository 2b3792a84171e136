import CLinux
import Engine
import Interception
public import Keeper
public import Kernel
public import Logging
import Policy
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// The process next to a server: the worker of `usl gateway`.
public final class GatewayProcess {
    private let loop: EventLoop
    private let logger: Logger
    private let links: LinkAdmission
    private var door: FrontDoor?
    private var escrow: EscrowClient?
    private var pool: LoopPool
    private var status: ControlServer?
    private var configurationWatch: ConfigurationWatch?

    /// Serves until the keeper says `end` or dies.
    ///
    /// - Parameter escrow: the listening sockets, and what else a predecessor has left.
    /// - Returns: the exit status.
    public static func run(
        _ options: GatewayOptions, control: consuming Descriptor, keeper: consuming EscrowChannel,
        escrow: consuming Escrow, logger: Logger
    ) -> Int32 {
        var estate = Estate(escrow)
        let links: LinkAdmission
        do { links = try LinkAdmission(options, logger) } catch {
            logger.critical("cannot start: \(error)")
            return 125
        }
        // Said once, and not by every worker.
        if estate.arenaKeys.isEmpty, let fingerprint = links.fingerprint {
            logger.notice("the key of this gateway is \(fingerprint)")
        }
        do throws(Errno) {
            let cores = Processors.available
            let limits = ArenaLimits(capacity: options.limits.memory)
            let budget = MemoryBudget(limit: options.limits.memory)
            let loop = try EventLoop(estate.takeMainArena(limits: limits, budget: budget))
            let process = GatewayProcess(loop: loop, cores: cores, limits, links, logger)
            try process.start(options, control, keeper, estate)
            process.loop.run()
            return 0
        } catch {
            logger.critical("cannot start: \(error)")
            return 125
        }
    }

    private init(loop: EventLoop, cores: Int, _ limits: ArenaLimits, _ links: LinkAdmission, _ logger: Logger) {
        self.loop = loop
        self.links = links
        self.logger = logger
        pool = LoopPool(main: loop, maximum: cores, arenaLimits: limits)
    }

    private func start(
        _ options: GatewayOptions, _ control: consuming Descriptor, _ keeper: consuming EscrowChannel,
        _ estate: consuming Estate
    ) throws(Errno) {
        let escrow = try EscrowClient(keeper, above: estate.largestKeys, on: loop) { [unowned self] message in
            received(message)
        }
        self.escrow = escrow
        if let failure = estate.failure { logger.error("cannot go on with the sessions of before: \(failure)") }
        let ledger = try SessionLedger(&estate, escrow: escrow)
        pool.escrowArenas(in: escrow, adopting: &estate)
        let door = try FrontDoor(
            options, instance: InstanceNumber.load(from: options.state, logger), links: links,
            listeners: estate.takeListeners(), escrow: escrow, pool: pool, ledger: ledger,
            logger: logger)
        self.door = door
        estate.take(.offer) { key, descriptor in door.offers.adopt(OfferChannel(adopting: descriptor), key) }
        while let session = estate.nextSession() { door.restore(session) }
        estate.finish(escrow)
        pool.estateIsSettled()
        status = try ControlServer(
            control, on: loop, pool: pool, escrow: escrow, connect: nil,
            gateway: .init(
                strangers: { door.strangers.report }, clientName: links.clientName, offer: { door.offers.take($0) },
                client: { door.clients[$0] }))
        watchConfiguration(options, door)
        if options.isForOffers {
            door.pass { [unowned self] in pool.endSessions { $0.stop() } }
            // The agent that has started it reads there why it cannot start, and nobody will read what it says later.
            Diagnostics.detach()
        }
        escrow.reportReady()
    }

    private func watchConfiguration(_ options: GatewayOptions, _ door: FrontDoor) {
        guard let files = options.files else { return }
        let watch = ConfigurationWatch(files, on: loop) { [unowned self] in configurationChanged($0, door) }
        // They may have changed since this process, or the one before it, was started.
        if let current = watch.current, current.limits != door.limits { door.use(current.limits) }
        if !watch.isWatching {
            logger.warning(
                "the kernel does not tell of changes to the configuration (fs.inotify.max_user_instances); SIGHUP does")
        }
        configurationWatch = watch
    }

    private func configurationChanged(_ outcome: Result<Configuration, any Error>, _ door: FrontDoor) {
        switch outcome {
        case .success(let configuration):
            let memoryChanges = configuration.limits.memory != door.limits.memory
            door.use(configuration.limits)
            logger.notice("read the configuration again\(memoryChanges ? "; memory counts from the next start" : "")")
        case .failure(let error):
            for line in "\(error)".split(separator: "\n") { logger.error("\(line)") }
            logger.error("the configuration of before stays in force")
        }
    }

    private func received(_ message: KeeperMessage?) {
        switch message {
        case .programEnded, .detach: return
        case .reload: configurationWatch?.reload()
        case .end: end()
        case nil:
            // With its keeper gone, nobody would follow it; a service manager that has copies of the legs brings both back.
            if ServiceManager.isThere { _exit(1) }
            end()
        }
    }

    /// Says what is cut, tells the openers, and stops when they had a moment to hear it.
    private func end() {
        pool.gather {
            $0.reports
        } then: { [logger = logger, links = LoopBound(links, on: loop)] reports, loop in
            let undelivered = reports.reduce(0) { $0 + $1.session.undelivered }
            if reports.isEmpty {
                logger.notice("ending; no session is cut")
            } else {
                logger.notice(
                    "ending; cuts \(reports.count == 1 ? "1 session" : "\(reports.count) sessions"), \(undelivered) bytes under way"
                )
                for report in reports {
                    logger.notice("cut: \(report.session.id.hex) \(report.session.way(links.on(loop)))")
                }
            }
        }
        pool.endSessions { $0.stop() }
    }
}
