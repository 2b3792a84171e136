import Engine
import Kernel
import SessionHost
import SessionProtocol
import Testing

@testable import Gateway

@Suite("Session registry")
struct SessionRegistryTests {
    @Test("what is over is remembered, the last sessions only")
    func tombstones() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let place = LoopPool(main: loop, maximum: 1, arenaLimits: ArenaLimits(capacity: 1 << 20)).place()
        var registry = SessionRegistry()
        let gone = GoneMessage(reason: .over, instance: 1, positions: nil)
        let count = SessionRegistry.maximumTombstones + 1
        for low in 1...UInt64(count) {
            let id = SessionID(high: 0, low: low)
            registry.open(id, .init(keyShare: [], answer: .sealed([]), place: place))
            #expect(registry.liveCount == 1)
            registry.bury(id, gone)
        }
        #expect(registry.liveCount == 0)
        #expect(registry[SessionID(high: 0, low: 1)] == nil)
        guard case .over(let epitaph) = registry[SessionID(high: 0, low: 2)] else {
            Issue.record("forgotten too early")
            return
        }
        #expect(epitaph == gone)
    }

    @Test("a session that was never live is buried, and forgotten, without being counted")
    func neverLive() {
        var registry = SessionRegistry()
        let id = SessionID(high: 0, low: 1)
        registry.bury(id, GoneMessage(reason: .exhausted, instance: 1, positions: nil))
        #expect(registry.liveCount == 0)
        registry.forget(id)
        #expect(registry[id] == nil)
    }
}
