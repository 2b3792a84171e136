import Engine
import Kernel
import SessionProtocol
import Testing

@testable import SessionHost

@Suite("Neighbour alarm")
struct NeighbourAlarmTests {
    @Test("one alarm a second for each host, however many links fail")
    func coalesces() throws {
        let limits = ArenaLimits(capacity: 1 << 20)
        let loop = try EventLoop(arena: limits)
        let alarm = NeighbourAlarm(LoopPool(main: loop, maximum: 1, arenaLimits: limits))
        let (here, there) = (SocketAddress.Host.v4(1), SocketAddress.Host.v4(2))
        let start = Instant(nanoseconds: 5_000_000_000)
        let raised = [
            (here, 0), (here, 1), (there, 2), (here, 999), (there, 1_001), (here, 1_000), (there, 1_002), (here, 1_500),
        ].map { host, milliseconds in alarm.raise(host, start + .milliseconds(milliseconds)) }
        #expect(raised == [true, false, true, false, false, true, true, false])
    }
}
