import DequeModule
import Kernel
import SessionProtocol

/// The dials of one loop's sessions, of which only some are under way at a time to each gateway.
///
/// When a gateway, or the way to it, fails, all sessions dial at once. A gateway bounds how many connections of one address may have
/// said nothing yet, and closes the oldest beyond that (docs/security.md): of thousands most would be closed, and dialled again,
/// at the cost of those that are about to join. A few at a time are all that both ends can serve anyway.
final class DialQueue {
    /// At a time from one process to one gateway: half of what a gateway lets one address have, unless its administrator says
    /// otherwise (`handshakes-per-address`).
    static let processLimit = 128

    /// Takes part in the dials under way to a gateway, until the last reference goes.
    final class Place {
        private unowned let queue: DialQueue
        private let gateway: SocketAddress

        fileprivate init(_ queue: DialQueue, _ gateway: SocketAddress) {
            (self.queue, self.gateway) = (queue, gateway)
        }

        deinit { queue.left(gateway) }
    }

    private struct Waiting {
        weak var driver: SessionDriver?
        let number: LinkNumber
        let path: PathID
    }

    private struct Line {
        var underWay = 0
        var waiting: Deque<Waiting> = []
    }

    /// At a time to one gateway.
    var limit = DialQueue.processLimit
    var isQueued = false
    private unowned let loop: EventLoop
    private var lines: [SocketAddress: Line] = [:]

    init(_ loop: EventLoop) { self.loop = loop }

    /// A place for a dial that may begin now; nil if its driver is asked to dial later, once others are over.
    func place(to gateway: SocketAddress, for driver: SessionDriver, _ number: LinkNumber, on path: PathID) -> Place? {
        if lines[gateway, default: Line()].underWay < limit { return take(gateway) }
        lines[gateway]?.waiting.append(Waiting(driver: driver, number: number, path: path))
        return nil
    }

    private func take(_ gateway: SocketAddress) -> Place {
        lines[gateway, default: Line()].underWay += 1
        return Place(self, gateway)
    }

    private func left(_ gateway: SocketAddress) {
        guard var line = lines.removeValue(forKey: gateway) else { return }
        line.underWay -= 1
        if line.underWay > 0 || !line.waiting.isEmpty { lines[gateway] = line }
        // Not here: another session's driver may be at work.
        if !line.waiting.isEmpty { loop.runLater(self) }
    }
}

extension DialQueue: LoopTask {
    func run(on loop: EventLoop) {
        for gateway in Array(lines.keys) {
            while let line = lines[gateway], line.underWay < limit, let next = lines[gateway]?.waiting.popFirst() {
                guard let driver = next.driver else { continue }
                driver.dial(next.number, on: next.path, to: gateway, take(gateway))
            }
            if let line = lines[gateway], line.underWay == 0, line.waiting.isEmpty { lines[gateway] = nil }
        }
    }
}
