import Kernel
import SessionProtocol

/// Hosts that have answered just now.
struct WorkingHosts {
    /// For so long an answer says that the next will come too: long enough for a program that opens many connections at a
    /// time, and short enough that a path that breaks is soon noticed.
    private static let lifetime = Interval.seconds(10)
    private static let maximum = 1024

    private var ends: [SocketAddress.Host: Instant] = [:]

    func contains(_ host: SocketAddress.Host, at now: Instant) -> Bool { ends[host].map { $0 > now } ?? false }

    mutating func note(_ host: SocketAddress.Host, at now: Instant) {
        if ends.count >= Self.maximum { ends = ends.filter { $0.value > now } }
        if ends.count >= Self.maximum { ends.removeAll(keepingCapacity: true) }
        ends[host] = now + Self.lifetime
    }

    mutating func forget(_ host: SocketAddress.Host) { ends[host] = nil }
}
