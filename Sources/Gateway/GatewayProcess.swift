import CLinux
import Engine
import Interception
public import Keeper
public import Kernel
public import Logging
public import SessionHost
import SessionProtocol
import SystemPackage
public import Transport

/// The process next to a server: the worker of `usl gateway`.
public final class GatewayProcess {
    private let loop: EventLoop
    private let logger: Logger
    private var door: FrontDoor?
    private var escrow: EscrowClient?
    private var pool: LoopPool
    private var status: ControlServer?

    /// Makes the listening sockets, before the keeper forks, so that what is wrong with them is said at once.
    public static func listen(_ options: GatewayOptions) throws(ListenError) -> [Listener] {
        try Listener.open(options.listen)
    }

    /// Serves until the keeper says `end` or dies.
    ///
    /// - Returns: the exit status.
    public static func run(
        _ options: GatewayOptions, listeners: consuming [Listener], control: consuming Descriptor,
        keeper: consuming EscrowChannel, logger: Logger
    ) -> Int32 {
        do throws(Errno) {
            let cores = LoopPool.coreCount
            let limits = ArenaLimits(capacity: options.limits.memory / cores)
            let process = GatewayProcess(loop: try EventLoop(arena: limits), cores: cores, limits, logger)
            try process.start(options, listeners, control, keeper)
            process.loop.run()
            return 0
        } catch {
            logger.critical("cannot start: \(error)")
            return 125
        }
    }

    private init(loop: EventLoop, cores: Int, _ limits: ArenaLimits, _ logger: Logger) {
        self.loop = loop
        self.logger = logger
        pool = LoopPool(main: loop, maximum: cores, arenaLimits: limits)
    }

    private func start(
        _ options: GatewayOptions, _ listeners: consuming [Listener], _ control: consuming Descriptor,
        _ keeper: consuming EscrowChannel
    ) throws(Errno) {
        let escrow = try EscrowClient(keeper, on: loop) { [unowned self] message in received(message) }
        self.escrow = escrow
        let ledger = try SessionLedger(escrow: escrow)
        pool.escrowArenas(in: escrow)
        door = try FrontDoor(
            options, instance: InstanceNumber.load(from: options.stateDirectory ?? StateDirectory.path, logger),
            listeners: listeners,
            escrow: escrow, pool: pool, ledger: ledger, logger: logger)
        status = try ControlServer(control, on: loop, pool: pool, connect: nil)
    }

    private func received(_ message: KeeperMessage?) {
        switch message {
        case .programEnded, .detach: return
        case .end, nil: end()
        }
    }

    /// Says what is cut, tells the openers, and stops when they had a moment to hear it.
    private func end() {
        pool.gather {
            $0.reports
        } then: { [logger = logger] reports, loop in
            let undelivered = reports.reduce(0) { $0 + $1.session.undelivered }
            if reports.isEmpty {
                logger.notice("ending; no session is cut")
            } else {
                logger.notice(
                    "ending; cuts \(reports.count == 1 ? "1 session" : "\(reports.count) sessions"), \(undelivered) bytes under way"
                )
                for report in reports {
                    let session = report.session
                    logger.notice(
                        "cut: \(session.id.hex) from \(session.peer?.description ?? "?") to \(session.destination)")
                }
            }
        }
        pool.endSessions { $0.stop() }
    }
}
