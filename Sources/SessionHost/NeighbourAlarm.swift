import Engine
public import Kernel
public import SessionProtocol
import Synchronization

/// Lets all sessions of a process with a link to a host ask whether it still works, when one of them has lost its own. At
/// most once a second for each host: what breaks one link mostly breaks them all, and each of them raises the alarm.
public final class NeighbourAlarm: Sendable {
    private static let pause = Interval.seconds(1)

    private let pool: LoopBound<LoopPool>
    private let main: LoopMailbox
    private let raised = Mutex<[SocketAddress.Host: Instant]>([:])

    public init(_ pool: LoopPool) {
        self.pool = LoopBound(pool, on: pool.main)
        main = pool.main.mailbox
    }

    /// A link to this host has failed. From any loop.
    ///
    /// - Returns: false if that is known already.
    @discardableResult
    public func raise(_ host: SocketAddress.Host, _ now: Instant) -> Bool {
        let isNew = raised.withLock { raised in
            if let last = raised[host], now - last < Self.pause { return false }
            // Hosts of long ago need not be remembered.
            raised = raised.filter { now - $0.value < Self.pause }
            raised[host] = now
            return true
        }
        guard isNew else { return false }
        main.post { [pool] loop in
            pool.on(loop).forEachTable { table, _ in
                for driver in table.drivers { driver.checkLinks(to: host) }
            }
        }
        return true
    }
}
