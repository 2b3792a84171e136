import CLinux
import Kernel
import SessionProtocol
import Synchronization
import SystemPackage
import Testing

@testable import Engine

/// Two connected stream sockets, non-blocking.
private struct SocketPair: ~Copyable {
    let near: Descriptor
    let far: Descriptor

    init() throws(Errno) {
        var numbers: (Int32, Int32) = (-1, -1)
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let result = withUnsafeMutablePointer(to: &numbers) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { socketpair(AF_UNIX, type, 0, $0) }
        }
        try check(result)
        near = Descriptor(owning: numbers.0)
        far = Descriptor(owning: numbers.1)
    }
}

private final class Recorder: EventHandler {
    typealias Body = (ReadyEvents, UInt32, EventLoop) -> Void
    var events: [(ready: ReadyEvents, tag: UInt32)] = []
    private let body: Body

    init(_ body: @escaping Body = { _, _, _ in }) { self.body = body }

    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        self.events.append((events, tag))
        body(events, tag, loop)
    }
}

private final class Alarm: TimerHandler {
    typealias Body = (TimerToken, EventLoop) -> Void
    private let body: Body
    init(_ body: @escaping Body) { self.body = body }
    func timerExpired(_ token: TimerToken, on loop: EventLoop) { body(token, loop) }
}

private final class Chore: LoopTask {
    typealias Body = (Chore, EventLoop) -> Void
    var isQueued = false
    private let body: Body
    init(_ body: @escaping Body) { self.body = body }
    func run(on loop: EventLoop) { body(self, loop) }
}

private let limits = ArenaLimits(capacity: 1 << 20)

extension EventLoop {
    /// Runs until `stop`, which has to come within 20 s.
    fileprivate func runBounded() {
        let guardian = Alarm { _, loop in
            Issue.record("the loop did not stop by itself")
            loop.stop()
        }
        _ = schedule(guardian, at: now + .seconds(20))
        run()
    }

    /// Runs turns until what is ready now has been served.
    fileprivate func settle() {
        for _ in 0..<3 {
            mailbox.post { _ in }
            turn()
        }
    }
}

private func put(_ text: String, into descriptor: borrowing Descriptor) {
    var text = text
    let count = text.withUTF8 { write(descriptor.number, $0.baseAddress, $0.count) }
    #expect(count == text.utf8.count)
}

@Suite struct EventLoopTests {
    @Test func reportsChangesOnce() throws {
        let loop = try EventLoop(arena: limits)
        let pair = try SocketPair()
        let recorder = Recorder()
        let registration = try loop.register(pair.near.number, recorder, tag: 7)
        loop.settle()
        #expect(recorder.events.map(\.ready) == [.writable])
        #expect(recorder.events.map(\.tag) == [7])

        put("abc", into: pair.far)
        loop.settle()
        #expect(recorder.events.count == 2, "unread bytes are not reported again")
        #expect(recorder.events[1].ready.contains(.readable))

        shutdown(pair.far.number, Int32(SHUT_WR))
        loop.settle()
        #expect(recorder.events.last!.ready.contains(.peerClosed))

        let count = recorder.events.count
        loop.deregister(registration)
        loop.deregister(registration)
        shutdown(pair.far.number, Int32(SHUT_RDWR))
        loop.settle()
        #expect(recorder.events.count == count)
    }

    /// A channel tells each time that the other end has read something, which is of use only to those who wait for it.
    @Test func whoWaitsForInputAloneIsNotWokenByReaders() throws {
        let loop = try EventLoop(arena: limits)
        let pair = try SocketPair()
        let recorder = Recorder()
        func talk() {
            put("abc", into: pair.near)
            var buffer: (UInt64, UInt64) = (0, 0)
            #expect(read(pair.far.number, &buffer, 16) == 3)
            loop.settle()
        }
        let registration = try loop.register(pair.near.number, recorder, for: .input)
        talk()
        #expect(recorder.events.isEmpty)
        put("abc", into: pair.far)
        loop.settle()
        #expect(recorder.events.map { $0.ready.contains(.readable) } == [true])

        try loop.watch(registration, for: .everything)
        loop.settle()
        #expect(recorder.events.last?.ready.contains(.writable) == true, "what is ready already is told at once")
        let count = recorder.events.count
        talk()
        #expect(recorder.events.count == count + 1)

        try loop.watch(registration, for: .input)
        talk()
        #expect(recorder.events.count == count + 2, "that there is something to read is told again, and no more")
        loop.deregister(registration)
        try loop.watch(registration, for: .everything)
        talk()
        #expect(recorder.events.count == count + 2)
    }

    @Test func aMailboxWakesItsLoopOnce() throws {
        let loop = try EventLoop(arena: limits)
        loop.settle()
        loop.mailbox.post { _ in }
        loop.turn()
        // With nothing to do the next turn lasts until somebody posts again, which takes a while.
        let pause = Interval.milliseconds(50)
        let begin = loop.now
        let thread = try startThread(name: "poster") { [mailbox = loop.mailbox] in
            usleep(UInt32(pause.nanoseconds / 1000))
            mailbox.post { _ in }
        }
        defer { pthread_join(thread, nil) }
        loop.turn()
        #expect(loop.now - begin >= pause, "that the mailbox was read is no event")
    }

    @Test func keyPairsAreMadeAheadAndUsedOnce() throws {
        let loop = try EventLoop(arena: limits)
        var shares: Set<[UInt8]> = [try loop.keyPair.take().share]
        loop.keyPair.replenish()
        #expect(!loop.keyPair.isReady)
        loop.settle()
        #expect(loop.keyPair.isReady)
        for _ in 0..<2 { shares.insert(try loop.keyPair.take().share) }
        #expect(shares.count == 3 && !loop.keyPair.isReady)
    }

    /// Two descriptors become ready in one turn, and the handler of the first to be served removes the other: its event,
    /// already fetched, reaches neither the old handler nor the one that has its slot now.
    @Test func dropsStaleEvents() throws {
        let loop = try EventLoop(arena: limits)
        let first = try SocketPair()
        let second = try SocketPair()
        let third = try SocketPair()
        let newcomer = Recorder()
        var registrations: [Registration] = []
        var served = 0
        let recorder = Recorder { [number = third.near.number] _, tag, loop in
            served += 1
            let victim = registrations[1 - Int(tag)]
            loop.deregister(victim)
            let registration = try? loop.register(number, newcomer, tag: 9)
            #expect(registration?.index == victim.index)
        }
        registrations = [
            try loop.register(first.near.number, recorder, tag: 0),
            try loop.register(second.near.number, recorder, tag: 1),
        ]
        loop.turn()
        #expect(served == 1)
        #expect(newcomer.events.isEmpty)
        loop.settle()
        #expect(newcomer.events.map(\.tag) == [9], "its own event comes in the next turn")
    }

    @Test func refusesWhatEpollRefuses() throws {
        let loop = try EventLoop(arena: limits)
        let file = Descriptor(owning: try check(usl_memfd_create("file", UInt32(MFD_CLOEXEC))))
        let error = #expect(throws: Errno.self) { try loop.register(file.number, Recorder()) }
        #expect(error == .notPermitted)
        let pair = try SocketPair()
        let registration = try loop.register(pair.near.number, Recorder())
        #expect(registration.index == 0, "the slot is free again")
    }

    @Test func runsTasksOnceAtTheEndOfTheTurn() throws {
        let loop = try EventLoop(arena: limits)
        var order: [String] = []
        let again = Chore { chore, loop in
            order.append("task")
            if order.count < 4 { loop.runLater(chore) }
        }
        loop.runLater(again)
        loop.runLater(again)
        let pair = try SocketPair()
        _ = try loop.register(pair.near.number, Recorder { _, _, _ in order.append("event") })
        loop.turn()
        #expect(order == ["event", "task"])
        loop.turn()
        #expect(order == ["event", "task", "task"], "queued from a task: in the next turn")
        loop.turn()
        #expect(order.count == 4)
        #expect(!again.isQueued)
    }

    @Test func timersFireInOrderAndNeverEarly() throws {
        let loop = try EventLoop(arena: limits)
        var fired: [UInt64] = []
        let start = loop.now
        let cancelled = loop.schedule(Alarm { _, _ in fired.append(0) }, at: start + .milliseconds(20))
        for delay in [30, 5, 12, 1] as [UInt64] {
            let deadline = start + .milliseconds(delay)
            let alarm = Alarm { _, loop in
                fired.append(delay)
                #expect(loop.now >= deadline)
                if delay == 5 { loop.cancel(cancelled) }
                if delay == 30 { loop.stop() }
            }
            _ = loop.schedule(alarm, at: deadline)
        }
        loop.runBounded()
        #expect(fired == [1, 5, 12, 30])
    }

    @Test func mailboxKeepsEveryThreadsOrder() throws {
        final class Counter: Sendable { let next = Mutex([Int](repeating: 0, count: 4)) }
        let (threads, messages) = (4, 5_000)
        let counter = Counter()
        let loop = try EventLoop(arena: limits)
        let posters = try (0..<threads).map { thread in
            try EventLoop.start(name: "poster", arena: limits) { [mailbox = loop.mailbox] poster in
                for number in 0..<messages {
                    mailbox.post { loop in
                        let total = counter.next.withLock { next in
                            if next[thread] == number { next[thread] += 1 }
                            return next.reduce(0, +)
                        }
                        if total == threads * messages { loop.stop() }
                    }
                }
                poster.stop()
            }
        }
        loop.runBounded()
        for poster in posters { poster.join() }
        #expect(counter.next.withLock { $0 } == [Int](repeating: messages, count: threads))
        #expect(!loop.mailbox.post { _ in })
    }

    /// A task that always wants to go on keeps neither timers nor messages from their turn.
    @Test func nobodyStarves() throws {
        let loop = try EventLoop(arena: limits)
        var hasTimerFired = false
        let busy = Chore { chore, loop in
            loop.runLater(chore)
            if hasTimerFired { loop.mailbox.post { $0.stop() } }
        }
        loop.runLater(busy)
        _ = loop.schedule(Alarm { _, _ in hasTimerFired = true }, at: loop.now + .milliseconds(2))
        loop.runBounded()
        #expect(hasTimerFired)
    }

    @Test func letsGoOfHandlersWhenItStops() throws {
        weak var recorder: Recorder?
        weak var alarm: Alarm?
        weak var chore: Chore?
        let pair = try SocketPair()
        let loop = try EventLoop(arena: limits)
        do {
            let (handler, timer, task) = (Recorder(), Alarm { _, _ in }, Chore { _, _ in })
            (recorder, alarm, chore) = (handler, timer, task)
            _ = try loop.register(pair.near.number, handler)
            _ = loop.schedule(timer, at: loop.now + .hours(1))
            loop.runLater(task)
        }
        #expect(recorder != nil && alarm != nil && chore != nil)
        loop.stop()
        loop.run()
        #expect(recorder == nil && alarm == nil && chore == nil)
    }

    @Test func threadsHaveNamesAndBlockSignals() throws {
        struct Finding { var name: String, blocksTermination: Bool, blocksFaults: Bool }
        final class Findings: Sendable { let finding = Mutex<Finding?>(nil) }
        let findings = Findings()
        let wasBlocked = SignalSet.blocked.contains(SIGTERM)
        let thread = try EventLoop.start(name: "usl-a-very-long-name", arena: limits) { _ in
            var name = [CChar](repeating: 0, count: 16)
            pthread_getname_np(pthread_self(), &name, name.count)
            let text = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            let mask = SignalSet.blocked
            findings.finding.withLock {
                $0 = Finding(
                    name: text, blocksTermination: mask.contains(SIGTERM), blocksFaults: mask.contains(SIGSEGV))
            }
        }
        #expect(thread.mailbox.post { $0.stop() })
        thread.join()
        let finding = try #require(findings.finding.withLock { $0 })
        #expect(finding.name == "usl-a-very-long")
        #expect(finding.blocksTermination)
        #expect(!finding.blocksFaults)
        #expect(SignalSet.blocked.contains(SIGTERM) == wasBlocked, "the mask of the starting thread is as it was")
    }

    @Test func startReportsWhatIsMissing() {
        #expect(throws: Errno.self) {
            try EventLoop.start(name: "x", arena: ArenaLimits(capacity: 1 << 62)) { _ in }
        }
    }
}
