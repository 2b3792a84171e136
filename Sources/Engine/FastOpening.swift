import Kernel
import SessionProtocol
import Synchronization

/// To which gateways SYNs may take data with them (TCP Fast Open): all but those where that has come to nothing lately. For all
/// links of an agent; may be used from any thread.
public final class FastOpening: Sendable {
    /// How long a gateway is dialled without it: there are paths that drop such SYNs (RFC 7413, 7.1), and it takes a dial without
    /// answer to find out; but hosts roam, and what was silent for other reasons shall not count for long.
    static let pause = Interval.seconds(600)

    /// Until when each is dialled without.
    private let pauses = Mutex<[SocketAddress: Instant]>([:])

    public init() {}

    /// A dial with it was refused, or has had no answer for too long.
    func failed(_ gateway: SocketAddress, _ now: Instant) {
        pauses.withLock { pauses in
            pauses = pauses.filter { $0.value > now }
            pauses[gateway] = now + Self.pause
        }
    }

    func isWorthATry(_ gateway: SocketAddress, _ now: Instant) -> Bool {
        pauses.withLock { ($0[gateway] ?? now) <= now }
    }
}
