/// A path that may be tried.
public struct CandidatePair: Hashable, Sendable {
    /// nil: whatever the kernel chooses.
    public let source: IPAddress?
    public let destination: IPAddress

    public init(source: IPAddress?, destination: IPAddress) {
        self.source = source
        self.destination = destination
    }
}

/// Which paths lead to what an application asked for, and in which order they are tried.
public struct Candidates: Sendable {
    public enum Mode: Hashable, Sendable {
        /// Other destinations, then other sources.
        case destinationsAndSources
        /// Other sources alone (treatment `shim-sources`).
        case sourcesOnly
    }

    /// How many pairs are tried at most: with the default budget and delay no more than 120 could begin at all.
    public static let maximum = 64
    /// How many destinations are tried at most, the asked one among them: a name with a hundred addresses leaves room for
    /// other sources.
    static let maximumDestinations = 32

    private let asked: IPAddress
    private let bound: IPAddress?
    private let mode: Mode
    private let families: Set<IPAddress.Family>

    /// - Parameters:
    ///   - asked: the destination that the application gave.
    ///   - bound: the source that the application bound its socket to, which then stays the only one. A wildcard is none.
    ///   - families: what the application's socket can be connected to. The family of `asked` is always among them.
    public init(
        asked: IPAddress, bound: IPAddress? = nil, mode: Mode = .destinationsAndSources,
        families: Set<IPAddress.Family> = Set(IPAddress.Family.allCases)
    ) {
        self.asked = asked.unmapped
        self.bound = bound.flatMap { $0.isUnspecified ? nil : $0.unmapped }
        self.mode = mode
        self.families = families
    }

    /// Attempt 0: exactly what was asked for.
    public var first: CandidatePair { CandidatePair(source: bound, destination: asked) }

    /// All pairs, each once, at most `maximum`, beginning with `first`. Addresses in them are unmapped: `::ffff:192.0.2.1` is
    /// 192.0.2.1.
    ///
    /// First come the other destinations as RFC 6724 sorts them, families in turn, from wherever the kernel sends; then
    /// all destinations once more from the next best source of each, and so on, so that no destination has to wait until
    /// all sources have been tried for another.
    ///
    /// - Parameter others: further addresses of what was asked for, in any order; the asked one may be among them.
    public func pairs(with others: [IPAddress], by selection: AddressSelection) -> [CandidatePair] {
        let destinations = destinations(with: others, by: selection)
        var pairs = destinations.map { CandidatePair(source: bound, destination: $0) }
        if bound == nil {
            let sources = destinations.map { selection.otherSources(for: $0) }
            for turn in 0..<(sources.map(\.count).max() ?? 0) where pairs.count < Self.maximum {
                for (destination, sources) in zip(destinations, sources) where turn < sources.count {
                    pairs.append(CandidatePair(source: sources[turn].address, destination: destination))
                }
            }
        }
        return Array(pairs.prefix(Self.maximum))
    }

    private func destinations(with others: [IPAddress], by selection: AddressSelection) -> [IPAddress] {
        switch mode {
        case .sourcesOnly: return [asked]
        case .destinationsAndSources: break
        }
        var seen: Set = [asked]
        let usable = others.map(\.unmapped).filter { isReachable($0) && seen.insert($0).inserted }
        // The asked one was the first of its family.
        let sorted = interleaved(selection.sorted(usable), beginningWith: asked.family.other)
        return Array(([asked] + sorted).prefix(Self.maximumDestinations))
    }

    private func isReachable(_ destination: IPAddress) -> Bool {
        if destination.isUnspecified || !families.contains(destination.family) { return false }
        guard let bound else { return true }
        return bound.family == destination.family && (!bound.isLoopback || destination.isLoopback)
            && bound.scope >= destination.scope
    }
}
