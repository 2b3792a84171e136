/// Pairs that failed lately, or were silent while others answered. They are tried behind all others, never left out.
public struct BadPairs: Sendable {
    private struct Key: Hashable {
        let pair: CandidatePair
        /// A refused port says nothing about its neighbour.
        let port: UInt16
    }

    /// How long a pair stays bad, in nanoseconds: a minute. Whoever tries again in that time waits less, and what has been
    /// repaired is soon back in its place.
    public static let lifetime: UInt64 = 60_000_000_000
    /// Pairs kept; a scan through a program must not fill memory.
    static let maximum = 1024

    private var until: [Key: UInt64] = [:]

    public init() {}

    /// - Parameter now: nanoseconds on the driver's clock, as everywhere here.
    public mutating func note(_ pair: CandidatePair, port: UInt16, now: UInt64) {
        if until.count >= Self.maximum { until = until.filter { $0.value > now } }
        if until.count >= Self.maximum { until.removeAll(keepingCapacity: true) }
        until[Key(pair: pair, port: port)] = now + Self.lifetime
    }

    /// The pair works again.
    public mutating func forget(_ pair: CandidatePair, port: UInt16) {
        until[Key(pair: pair, port: port)] = nil
    }

    /// The pairs with the bad ones behind the others. The first, which is what the application asked for, stays.
    public func ordered(_ pairs: [CandidatePair], port: UInt16, now: UInt64) -> [CandidatePair] {
        let isBad = { (pair: CandidatePair) in (until[Key(pair: pair, port: port)] ?? 0) > now }
        let others = pairs.dropFirst()
        return pairs.prefix(1) + others.filter { !isBad($0) } + others.filter(isBad)
    }
}
