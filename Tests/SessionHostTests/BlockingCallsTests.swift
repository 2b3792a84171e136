import CLinux
import Kernel
import SessionProtocol
import Synchronization
import SystemPackage
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Blocking calls")
struct BlockingCallsTests {
    let loop: EventLoop

    init() throws { loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20)) }

    private func turn(until condition: () -> Bool) throws {
        let end = ContinuousClock.now + .seconds(10)
        // Something to do, so that no turn waits.
        while !condition() {
            guard ContinuousClock.now < end else { throw Errno.timedOut }
            loop.mailbox.post { _ in }
            loop.turn()
        }
    }

    @Test("results come back on the loop, not before the call was made")
    func results() throws {
        let calls = BlockingCalls(name: "test", maximum: 2, on: loop)
        let own = pthread_self()
        var results: [Int] = []
        for number in 0..<50 {
            calls.run(within: .seconds(10)) {
                #expect(pthread_equal(pthread_self(), own) == 0)
                return number
            } done: { (result: Int?) in
                #expect(pthread_equal(pthread_self(), own) != 0)
                results.append(result ?? -1)
            }
        }
        #expect(results.isEmpty)
        try turn { results.count == 50 }
        #expect(results.sorted() == Array(0..<50))
    }

    /// Lets threads wait until the test lets them go.
    private final class Gate: Sendable {
        private let isOpen = Mutex(false)
        private let entered = Atomic(0)
        var count: Int { entered.load(ordering: .sequentiallyConsistent) }
        func pass() {
            entered.add(1, ordering: .sequentiallyConsistent)
            while !isOpen.withLock({ $0 }) { usleep(1000) }
        }
        func open() { isOpen.withLock { $0 = true } }
    }

    @Test("a call that hangs is given up; the others go on beside it, and it changes nothing when it returns")
    func hanging() throws {
        let calls = BlockingCalls(name: "test", maximum: 2, on: loop)
        let gate = Gate()
        defer { gate.open() }
        var hung: [Bool?] = []
        var others = 0
        calls.run(within: .milliseconds(50)) {
            gate.pass()
            return true
        } done: { (result: Bool?) in
            hung.append(result)
        }
        for _ in 0..<10 {
            calls.run(within: .seconds(10)) {
                1
            } done: { (result: Int?) in
                others += result ?? 0
            }
        }
        try turn { others == 10 && !hung.isEmpty }
        #expect(hung == [nil])
        gate.open()
        var isLast = false
        calls.run(within: .seconds(10)) {
            true
        } done: { (_: Bool?) in
            isLast = true
        }
        try turn { isLast }
        #expect(hung.count == 1)
    }

    @Test("where all threads hang, what waits is given up, and never runs")
    func allHang() throws {
        let calls = BlockingCalls(name: "test", maximum: 2, on: loop)
        let (gate, late) = (Gate(), Gate())
        late.open()
        defer { gate.open() }
        var ends = 0
        for _ in 0..<2 {
            calls.run(within: .seconds(10)) {
                gate.pass()
                return true
            } done: { (_: Bool?) in
                ends += 1
            }
        }
        try turn { gate.count == 2 }
        var given: [Bool?] = []
        calls.run(within: .milliseconds(20)) {
            late.pass()
            return true
        } done: { (result: Bool?) in
            given.append(result)
        }
        try turn { !given.isEmpty }
        #expect(given == [nil] && ends == 0)
        gate.open()
        try turn { ends == 2 }
        #expect(late.count == 0 && gate.count == 2)
    }

    @Test("too many are told so")
    func tooMany() throws {
        let calls = BlockingCalls(name: "test", maximum: 1, on: loop)
        let gate = Gate()
        defer { gate.open() }
        var (refused, done) = (0, 0)
        for _ in 0..<300 {
            calls.run(within: .seconds(10)) {
                gate.pass()
                return true
            } done: { (result: Bool?) in
                if result == nil { refused += 1 } else { done += 1 }
            }
        }
        try turn { refused >= 43 }
        gate.open()
        try turn { refused + done == 300 }
        #expect((43...44).contains(refused))
    }
}
