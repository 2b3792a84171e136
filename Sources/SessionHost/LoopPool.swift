import CLinux
public import Engine
import Kernel
import SessionProtocol
import SystemPackage

/// The event loops of a process: the one of its main thread, and one more for each further core, each with the table of
/// its sessions. Further loops start when the first session is placed on them, since most programs open one connection.
///
/// Belongs to the main loop.
public final class LoopPool {
    /// How long sessions may take to tell their peers that they end.
    private static let lastWordsLimit = Interval.seconds(2)

    public struct Place: Sendable {
        public let mailbox: LoopMailbox
        public let sessions: LoopBound<SessionTable>
    }

    public let main: EventLoop
    private let arenaLimits: ArenaLimits
    private let maximum: Int
    private var places: [Place]
    private var threads: [LoopThread] = []
    private var next = 0
    private var escrow: EscrowClient?

    /// - Parameters:
    ///   - maximum: loops in all, at least 1.
    ///   - memory: bytes of replay buffers and held bytes, shared equally among the loops.
    public init(main: EventLoop, maximum: Int, arenaLimits: ArenaLimits) {
        self.main = main
        self.maximum = max(1, maximum)
        self.arenaLimits = arenaLimits
        places = [Place(mailbox: main.mailbox, sessions: LoopBound(SessionTable(), on: main))]
    }

    /// Cores that this process may use.
    public static var coreCount: Int {
        var set = cpu_set_t()
        guard sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return 1 }
        return withUnsafeBytes(of: &set) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
    }

    /// Where the next session shall live, for all its life.
    public func place() -> Place {
        defer { next = (next + 1) % maximum }
        // Without memory or descriptors for another loop, the ones that there are do.
        if next >= places.count, (try? startLoop()) == nil { return places[0] }
        return places[next]
    }

    private func startLoop() throws(Errno) {
        let table = FirstValue<(sessions: LoopBound<SessionTable>, arena: Int32)>()
        let thread = try EventLoop.start(name: "usl-loop-\(places.count)", arena: arenaLimits) { loop in
            table.set((LoopBound(SessionTable(), on: loop), loop.arena.memoryFile))
        }
        let (sessions, arena) = table.wait()
        // A ledger has 16 bits for the arena. When thousands of descriptors were put into escrow before this loop could
        // start, its sessions have no place in the ledger for their rings.
        if let label = escrow?.hold(.arena, arena).value, label <= UInt64(UInt16.max) {
            thread.mailbox.post { $0.arena.label = label }
        }
        places.append(Place(mailbox: thread.mailbox, sessions: sessions))
        threads.append(thread)
    }

    /// Gives the main loop's arena to the keeper now, and each further loop's when it starts.
    public func escrowArenas(in escrow: EscrowClient) {
        self.escrow = escrow
        main.arena.label = escrow.hold(.arena, main.arena.memoryFile).value
    }

    /// Runs `body` on every loop, with its sessions.
    public func forEachTable(_ body: @escaping @Sendable (SessionTable, EventLoop) -> Void) {
        for place in places { place.mailbox.post { body(place.sessions.on($0), $0) } }
    }

    /// Gives every session up, and calls `done` on the main loop when each has said so or has nobody to say it to, or
    /// after a moment.
    public func endSessions(then done: @escaping @Sendable (EventLoop) -> Void) {
        forEachTable { table, _ in
            for driver in table.drivers { table.giveUp(driver.session.id, because: .ending) }
        }
        awaitSilence(until: main.now + LoopPool.lastWordsLimit, done)
    }

    private func awaitSilence(until deadline: Instant, _ done: @escaping @Sendable (EventLoop) -> Void) {
        let pool = LoopBound(self, on: main)
        gather {
            $0.drivers.filter(\.hasUnsaidWords).map { _ in true }
        } then: { unsaid, loop in
            if unsaid.isEmpty || loop.now >= deadline { return done(loop) }
            let pause = Pause { pool.on(loop).awaitSilence(until: deadline, done) }
            _ = loop.schedule(pause, at: loop.now + .milliseconds(1))
        }
    }

    /// Gathers something from every loop, and then calls `done` on the main loop.
    public func gather<Item: Sendable>(
        _ collect: @escaping @Sendable (SessionTable) -> [Item],
        then done: @escaping @Sendable ([Item], EventLoop) -> Void
    ) {
        let gathering = Gathering<Item>(expected: places.count)
        let main = main.mailbox
        forEachTable { table, _ in
            guard let all = gathering.add(collect(table)) else { return }
            main.post { done(all, $0) }
        }
    }
}

/// A timer for one closure.
private final class Pause: TimerHandler {
    private let body: () -> Void

    init(_ body: @escaping () -> Void) { self.body = body }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) { body() }
}
