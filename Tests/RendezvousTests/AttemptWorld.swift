import SessionProtocol

@testable import Rendezvous

/// What becomes of an attempt on a path, once it has begun.
enum Fate: Hashable {
    case connects(after: UInt64)
    case fails(after: UInt64, errno: Int32)

    /// ENETUNREACH, from the kernel's own tables.
    static let unreachable = Fate.fails(after: 0, errno: 101)
    /// ETIMEDOUT: seven packets into nowhere, as Linux has it by default.
    static let silent = Fate.fails(after: seconds(127), errno: 110)
}

/// A machine with several addresses, a destination with several, and what is between; and when the planner hears of them.
/// All from one seed.
struct AttemptScenario {
    enum Kind: CaseIterable {
        /// Exactly one pair works; the others are silent, refuse, or cannot be reached.
        case onePairWorks
        /// Every pair works, after up to 4 s.
        case allSlow
        case nothingWorks
        /// Each pair has a fate of its own.
        case mixed
    }

    let kind: Kind
    let timing: AttemptTiming
    let history: FirstAttempt
    let candidates: Candidates
    let others: [IPAddress]
    let selection: AddressSelection
    /// When the other addresses are known, after the start; 0 is before it.
    let namesAfter: UInt64
    /// Timers of the driver ring up to that much late.
    let lateness: UInt64
    let start: UInt64
    private(set) var fates: [CandidatePair: Fate] = [:]
    private let kernelChoice: [IPAddress.Family: IPAddress]

    init(seed: UInt64) {
        var chance = SplitMix(state: seed)
        kind = Kind.allCases[chance.below(Kind.allCases.count)]
        timing = AttemptTiming(
            delay: milliseconds(UInt64(chance.within(100...500))), budget: seconds(UInt64(chance.within(2...60))),
            atOnce: chance.within(1...8))
        let locals = (0..<chance.within(1...5)).map { number in
            LocalAddress(Self.address(chance.below(2) == 0, network: number, host: 1), interface: UInt32(number + 1))
        }
        let destinations = (0..<chance.within(1...8)).map { number in
            Self.address(chance.below(2) == 0, network: 100, host: number + 1)
        }
        let asked = destinations[chance.below(destinations.count)]
        let choice = Dictionary(grouping: locals.map(\.address), by: \.family).mapValues { $0[chance.below($0.count)] }
        kernelChoice = choice
        let known = chance.below(2) == 0
        selection = AddressSelection(
            locals: locals,
            routes: known
                ? Dictionary(
                    uniqueKeysWithValues: destinations.map { ($0, choice[$0.family].map { .from($0) } ?? .none) })
                : [:])
        candidates = Candidates(
            asked: asked, bound: chance.below(5) == 0 ? choice[asked.family] : nil,
            mode: chance.below(5) == 0 ? .sourcesOnly : .destinationsAndSources,
            families: chance.below(4) == 0 ? [asked.family] : [.v4, .v6])
        others = destinations
        namesAfter = chance.below(2) == 0 ? 0 : milliseconds(UInt64(chance.below(4000)))
        lateness = chance.below(3) == 0 ? milliseconds(5) : 0
        start = seconds(1000) + UInt64(chance.below(1_000_000))

        let all = destinations.flatMap { destination in
            locals.filter { $0.address.family == destination.family }.map { ($0.address, destination) }
        }
        let works = all.isEmpty ? 0 : chance.below(all.count)
        for (number, (source, destination)) in all.enumerated() {
            let fate: Fate =
                switch kind {
                case .onePairWorks: number == works ? Self.working(&chance) : Self.broken(&chance)
                case .allSlow: .connects(after: milliseconds(UInt64(chance.within(300...4000))))
                case .nothingWorks: Self.broken(&chance)
                case .mixed: chance.below(3) == 0 ? Self.working(&chance) : Self.broken(&chance)
                }
            fates[CandidatePair(source: source, destination: destination)] = fate
        }

        let errno: Int32 = 113
        switch chance.below(4) {
        case 0: history = .failed(errno)
        case 1: history = .silent(since: start - milliseconds(UInt64(chance.within(1...300))))
        default: history = .notStarted
        }
    }

    var pairs: [CandidatePair] { candidates.pairs(with: others, by: selection) }

    func fate(of pair: CandidatePair) -> Fate {
        guard let source = pair.source ?? kernelChoice[pair.destination.family] else { return .unreachable }
        return fates[CandidatePair(source: source, destination: pair.destination)] ?? .unreachable
    }

    private static func working(_ chance: inout SplitMix) -> Fate {
        .connects(after: milliseconds(UInt64(chance.within(1...400))))
    }

    private static func broken(_ chance: inout SplitMix) -> Fate {
        switch chance.below(4) {
        case 0: .fails(after: milliseconds(UInt64(chance.within(0...300))), errno: 111)
        case 1: .unreachable
        default: .silent
        }
    }

    private static func address(_ isV4: Bool, network: Int, host: Int) -> IPAddress {
        isV4
            ? .v4(0x0a00_0000 | UInt32(network) << 16 | UInt32(host))
            : .v6(high: 0x2001_0db8 << 32 | UInt64(network) << 16, low: UInt64(host), scope: 0)
    }
}

extension SplitMix {
    /// 0 to `bound` − 1.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func within(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }
}
