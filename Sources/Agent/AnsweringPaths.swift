import Kernel
import Rendezvous
import SessionProtocol

/// Which path has answered requests to an address lately, and how soon. Shared by all relays of an agent: most programs take a
/// new socket for each request.
final class AnsweringPaths {
    /// For so long a path that was silent is not waited for. It is tried all the same, so that its answer is noticed.
    private static let lifetime = Interval(nanoseconds: BadPairs.lifetime)
    /// Addresses remembered; a scan must not fill memory.
    private static let maximum = 1024

    private struct Entry {
        /// Which answered instead of the asked one.
        var instead: CandidatePair?
        /// How long the asked one took.
        var answerTime = Interval.zero
        var end: Instant
    }

    private var entries: [SocketAddress: Entry] = [:]

    /// The path that has answered in place of the one asked for.
    func path(insteadOf asked: SocketAddress, at now: Instant) -> CandidatePair? { entry(asked, now)?.instead }

    /// How long the path that was asked for took to answer; zero if that is not known.
    func answerTime(of asked: SocketAddress, at now: Instant) -> Interval { entry(asked, now)?.answerTime ?? .zero }

    func answered(_ asked: SocketAddress, after time: Interval, at now: Instant) {
        note(asked, Entry(answerTime: time, end: now + Self.lifetime), now)
    }

    func answered(_ asked: SocketAddress, by instead: CandidatePair, at now: Instant) {
        note(asked, Entry(instead: instead, end: now + Self.lifetime), now)
    }

    private func entry(_ asked: SocketAddress, _ now: Instant) -> Entry? {
        entries[asked].flatMap { $0.end > now ? $0 : nil }
    }

    private func note(_ asked: SocketAddress, _ entry: Entry, _ now: Instant) {
        if entries.count >= Self.maximum { entries = entries.filter { $0.value.end > now } }
        if entries.count >= Self.maximum { entries.removeAll(keepingCapacity: true) }
        entries[asked] = entry
    }
}
