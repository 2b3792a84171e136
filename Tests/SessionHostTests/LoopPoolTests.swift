import CLinux
import Kernel
import Synchronization
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Loops of a process")
struct LoopPoolTests {
    @Test("sessions are spread over all loops, which start when they are needed, and all of them are asked")
    func spread() throws {
        let limits = ArenaLimits(capacity: 1 << 20)
        let loop = try EventLoop(arena: limits)
        let pool = LoopPool(main: loop, maximum: 3, arenaLimits: limits)
        let places = (0..<7).map { _ in ObjectIdentifier(pool.place().mailbox) }
        #expect(Set(places).count == 3)
        #expect(places[0] == ObjectIdentifier(loop.mailbox) && places[3] == places[0] && places[6] == places[0])
        #expect(places[4] == places[1] && places[5] == places[2])

        let answers = Mutex<[Int]>([])
        pool.gather {
            [$0.drivers.count, 7]
        } then: { found, loop in
            answers.withLock { $0 = found }
            loop.stop()
        }
        loop.run()
        #expect(answers.withLock { $0.sorted() } == [0, 0, 0, 7, 7, 7])
        pool.forEachTable { _, loop in loop.stop() }
    }

    @Test("a process without sessions has nothing to say, and ends at once")
    func endSessions() throws {
        let limits = ArenaLimits(capacity: 1 << 20)
        let loop = try EventLoop(arena: limits)
        let pool = LoopPool(main: loop, maximum: 1, arenaLimits: limits)
        let start = ContinuousClock.now
        pool.endSessions { $0.stop() }
        loop.run()
        #expect(ContinuousClock.now - start < .seconds(1))
    }

    @Test("a value that is handed over has one taker")
    func handoff() throws {
        let pair = try SocketPair(nonBlocking: true)
        let handoff = Handoff(try pair.first.duplicate())
        var takers = 0
        for _ in 0..<2 {
            if let taken = handoff.take() {
                takers += 1
                _ = consume taken
            }
        }
        #expect(takers == 1)
    }
}
