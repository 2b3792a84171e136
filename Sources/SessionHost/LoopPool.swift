import CLinux
public import Engine
public import Keeper
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
        /// The arena's key in escrow; nil if it has none.
        let arena: EscrowKey?
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
    ///   - arenaLimits: of each loop; what they hold together is bounded by the budget of the main loop's arena.
    public init(main: EventLoop, maximum: Int, arenaLimits: ArenaLimits) {
        self.main = main
        self.maximum = max(1, maximum)
        self.arenaLimits = arenaLimits
        places = [Place(mailbox: main.mailbox, sessions: LoopBound(SessionTable(), on: main), arena: nil)]
        main.shareDials(among: self.maximum)
    }

    /// Where the next session shall live, for all its life.
    public func place() -> Place {
        defer { next = (next + 1) % maximum }
        // Without memory or descriptors for another loop, the ones that there are do.
        if next >= places.count, (try? startLoop()) == nil { return places[0] }
        return places[next]
    }

    /// Where a session of the predecessor goes on: where the arena with its replay buffer is. nil if nobody has that.
    public func place(of snapshot: LedgerSnapshot) -> Place? {
        guard let ring = snapshot.ring else { return place() }
        return places.first { $0.arena == ring.arena }
    }

    private func startLoop() throws(Errno) {
        let arena = try Arena(limits: arenaLimits, budget: main.arena.budget)
        if let key = escrow?.hold(.arena, arena.memoryFile) { arena.label = key.value }
        try start(arena)
    }

    private func start(_ arena: Arena) throws(Errno) {
        let label = arena.label
        let table = FirstValue<LoopBound<SessionTable>>()
        let thread = try EventLoop.start(name: "usl-loop-\(places.count)", EventLoop(arena)) { [maximum] loop in
            loop.shareDials(among: maximum)
            table.set(LoopBound(SessionTable(), on: loop))
        }
        places.append(Place(mailbox: thread.mailbox, sessions: table.wait(), arena: key(label)))
        threads.append(thread)
    }

    /// A ledger has 16 bits for the arena. Without a key there, a session has no place for its ring in the ledger.
    private func key(_ label: UInt64) -> EscrowKey? {
        label > 0 && label <= UInt64(UInt16.max) ? EscrowKey(label) : nil
    }

    /// Gives the main loop's arena to the keeper now, unless it came from there, and each further loop's when it
    /// starts. A loop is started for each arena that the predecessor has left.
    public func escrowArenas(in escrow: EscrowClient, adopting estate: inout Estate) {
        self.escrow = escrow
        if main.arena.label == 0 { main.arena.label = escrow.hold(.arena, main.arena.memoryFile).value }
        places[0] = Place(
            mailbox: places[0].mailbox, sessions: places[0].sessions, arena: key(main.arena.label))
        for key in estate.arenaKeys {
            guard let arena = estate.takeArena(key, limits: arenaLimits, budget: main.arena.budget) else { continue }
            // Without memory for the loop, its sessions end in resets.
            _ = try? start(arena)
        }
    }

    /// Every session of the predecessor has been brought to its loop: what they have not claimed is free.
    public func estateIsSettled() {
        for place in places { place.mailbox.post { $0.arena.releaseUnclaimed() } }
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
