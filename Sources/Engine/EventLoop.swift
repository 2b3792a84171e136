import CLinux
import Kernel
public import SessionProtocol
public import SystemPackage

/// Gets the events of the descriptors that it registered.
public protocol EventHandler: AnyObject {
    /// Called once per change (edge-triggered): the handler goes on until the kernel says `EAGAIN`, or puts itself in the
    /// queue with `runLater`.
    ///
    /// - Parameter tag: what the descriptor was registered with.
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop)
}

/// Work put off to the end of a turn, so that one busy session does not keep the others waiting.
public protocol LoopTask: AnyObject {
    /// True while the task waits in a loop's queue. For the loop only; starts as false.
    var isQueued: Bool { get set }
    func run(on loop: EventLoop)
}

/// Names a registered descriptor. Stays harmless after `deregister`.
public struct Registration: Hashable, Sendable {
    let index: UInt32
    let generation: UInt32

    /// What its events carry.
    var key: UInt64 { UInt64(generation) << 32 | UInt64(index) }
}

/// One epoll instance on one thread, with its timers and the arena of its sessions' rings. A loop never leaves its thread;
/// others reach it through its mailbox.
public final class EventLoop {
    /// The longest wait for events. epoll counts its timeout in CLOCK_MONOTONIC, which stands still while the machine is
    /// suspended, whereas timers here count CLOCK_BOOTTIME: this bounds how late they are when nothing wakes the loop of a
    /// machine that resumes.
    private static let longestWait = Interval.seconds(10)
    private static let scratchBytes = 512 << 10

    /// When this turn began, on CLOCK_BOOTTIME, so that limits count the time in which the machine was suspended.
    public private(set) var now: Instant
    /// Memory for the rings of this loop's sessions.
    public let arena: Arena
    /// A buffer of 512 KiB that all handlers of the loop share: what it holds is good until the handler returns.
    public let scratch: UnsafeMutableRawBufferPointer
    /// Where other threads post what this loop shall run.
    public let mailbox: LoopMailbox
    /// The dials of this loop's sessions.
    private(set) lazy var dials = DialQueue(self)
    /// The key pair of the next session that begins on this loop.
    public private(set) lazy var keyPair = SpareKeyPair(self)

    private struct Slot {
        var handler: (any EventHandler)?
        var descriptor: Int32
        var tag: UInt32
        /// Grows whenever the slot is vacated, so that events and registrations of its earlier owners stop matching.
        var generation: UInt32
    }

    /// Stands for the mailbox in epoll's data; no slot has this index.
    private static let mailboxKey = UInt64.max

    private var epoll: Epoll
    private var polling = BusyPoll(processors: Processors.available)
    private var slots: ContiguousArray<Slot> = []
    private var vacant: ContiguousArray<UInt32> = []
    private var timers: TimerWheel
    private var tasks: ContiguousArray<any LoopTask> = []
    /// Room that changes places with `tasks` and `mailbox`'s queue, so that neither allocates in the long run.
    private var spareTasks: ContiguousArray<any LoopTask> = []
    private var spareMessages: [LoopMailbox.Message] = []
    private var isStopping = false

    /// A loop to be run on this thread, with an empty arena.
    public convenience init(arena limits: ArenaLimits) throws(Errno) {
        try self.init(Arena(limits: limits))
    }

    /// A loop to be run on this thread, or by `start` on another.
    public init(_ arena: Arena) throws(Errno) {
        now = try Self.bootTime()
        epoll = try Epoll()
        mailbox = try LoopMailbox()
        self.arena = arena
        timers = TimerWheel(now: now)
        scratch = .allocate(byteCount: Self.scratchBytes, alignment: 4096)
        // What comes over links passes here, and no more belongs in a core dump than the rings do.
        _ = madvise(scratch.baseAddress, scratch.count, MADV_DONTDUMP)
        try epoll.add(mailbox.descriptor, for: .input, key: Self.mailboxKey)
    }

    deinit {
        // Others will have this memory, and want to find it in theirs.
        _ = madvise(scratch.baseAddress, scratch.count, MADV_DODUMP)
        scratch.deallocate()
    }

    /// Tells how many loops of the process dial, each of which may have its share of the dials under way.
    public func shareDials(among loops: Int) { dials.limit = max(1, DialQueue.processLimit / max(1, loops)) }

    // MARK: - Descriptors

    /// Watches a descriptor, edge-triggered. The loop holds `handler` until `deregister`.
    ///
    /// What is ready already is reported in the next turn.
    public func register(
        _ descriptor: Int32, _ handler: any EventHandler, tag: UInt32 = 0, for interest: Interest = .everything
    ) throws(Errno) -> Registration {
        let index: UInt32
        if let reused = vacant.popLast() {
            index = reused
        } else {
            index = UInt32(slots.count)
            slots.append(Slot(handler: nil, descriptor: -1, tag: 0, generation: 0))
        }
        let registration = Registration(index: index, generation: slots[Int(index)].generation)
        do throws(Errno) {
            try epoll.add(descriptor, for: interest, key: registration.key)
        } catch {
            vacant.append(index)
            throw error
        }
        slots[Int(index)].handler = handler
        slots[Int(index)].descriptor = descriptor
        slots[Int(index)].tag = tag
        return registration
    }

    /// Watches a registered descriptor for something else from now on. What is ready already is reported in the next turn.
    public func watch(_ registration: Registration, for interest: Interest) throws(Errno) {
        let slot = slots[Int(registration.index)]
        guard slot.generation == registration.generation, slot.handler != nil else { return }
        try epoll.change(slot.descriptor, to: interest, key: registration.key)
    }

    /// Ends a registration, before its descriptor is closed. No event reaches the handler from now on, not even one that
    /// this turn has already fetched.
    public func deregister(_ registration: Registration) {
        let index = Int(registration.index)
        guard slots[index].generation == registration.generation, slots[index].handler != nil else { return }
        epoll.remove(slots[index].descriptor)
        slots[index].generation &+= 1
        vacant.append(registration.index)
        // Last, and out of the slot first: the handler may end here, and reach this loop again as it does.
        _ = slots[index].handler.take()
    }

    // MARK: - Tasks and timers

    /// Runs `task` at the end of this turn, or of the next one when called from a task. Does nothing for a task that
    /// waits already.
    public func runLater(_ task: any LoopTask) {
        if task.isQueued { return }
        task.isQueued = true
        tasks.append(task)
    }

    /// Calls `timer` at `deadline` or up to 1 ms later, never before. The loop holds it until then or until `cancel`.
    public func schedule(_ timer: any TimerHandler, at deadline: Instant) -> TimerToken {
        timers.schedule(timer, at: deadline)
    }

    /// Cancels a timer; does nothing when it has already fired.
    public func cancel(_ token: TimerToken) { timers.cancel(token) }

    // MARK: - Turns

    /// Reads the clock again, for work that takes long within a turn.
    public func refreshNow() {
        // The clock that `init` could read cannot fail later.
        if let time = try? Self.bootTime() { now = time }
    }

    /// Ends `run` after this turn.
    public func stop() { isStopping = true }

    /// Serves events until `stop`, then lets go of all handlers, timers and tasks. A loop runs once.
    public func run() {
        while !isStopping { turn() }
        mailbox.close()
        for index in slots.indices {
            deregister(Registration(index: UInt32(index), generation: slots[index].generation))
        }
        timers = TimerWheel(now: now)
        for task in tasks { task.isQueued = false }
        tasks = []
    }

    /// Waits for events once, and serves everything that is due.
    func turn() {
        let count = waitForEvents()
        for index in 0..<count {
            let (key, events) = epoll.event(index)
            if key == Self.mailboxKey { runMessages() } else { dispatch(events, key: key) }
        }
        while let (handler, token) = timers.popExpired(at: now) { handler.timerExpired(token, on: self) }
        if !tasks.isEmpty { runTasks() }
    }

    /// - Returns: how many there are; `now` is when they were fetched.
    private func waitForEvents() -> Int {
        if !tasks.isEmpty {
            defer { refreshNow() }
            return epoll.wait(timeout: .zero)
        }
        // The last reading is as old as the turn was long, which would make the next timer late by as much.
        refreshNow()
        let begin = now
        let timeout = timers.nextWake.map { min($0 - begin, Self.longestWait) } ?? Self.longestWait
        if polling.looks() {
            while now - begin < min(timeout, BusyPoll.limit) {
                let count = epoll.wait(timeout: .zero)
                refreshNow()
                if count > 0 {
                    polling.found()
                    return count
                }
                // Whoever is to bring what is looked for may wait for this processor.
                sched_yield()
            }
            polling.wasInVain()
        }
        let count = epoll.wait(timeout: timeout)
        refreshNow()
        polling.slept(now - begin)
        return count
    }

    private func dispatch(_ events: ReadyEvents, key: UInt64) {
        let slot = slots[Int(key & 0xffff_ffff)]
        guard UInt64(slot.generation) == key >> 32, let handler = slot.handler else { return }
        handler.ready(events, tag: slot.tag, on: self)
    }

    private func runTasks() {
        swap(&tasks, &spareTasks)
        for task in spareTasks {
            // Before the call: a task may queue itself again, for the next turn.
            task.isQueued = false
            task.run(on: self)
        }
        spareTasks.removeAll(keepingCapacity: true)
    }

    private func runMessages() {
        mailbox.exchange(&spareMessages)
        for message in spareMessages { message(self) }
        spareMessages.removeAll(keepingCapacity: true)
    }

    private static func bootTime() throws(Errno) -> Instant {
        var time = timespec()
        try check(clock_gettime(CLOCK_BOOTTIME, &time))
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}
