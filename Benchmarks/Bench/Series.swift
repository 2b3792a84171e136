import NetworkLab

/// Runs of workloads through contenders, one after the other: within each round every contender has its turn, and ours again behind
/// each other one, so that a machine that is busy at times hurts all alike.
struct Series {
    /// One client's run.
    struct Run {
        let workload: String
        let contender: Contender.Kind
        let round: Int
        /// Which of its round.
        let place: Int
        var values: [Metric: Double]
        /// Seconds that each process used per GiB, by name.
        var processors: [String: Double] = [:]
    }

    private(set) var runs: [Run] = []

    init(_ runs: [Run] = []) { self.runs = runs }

    /// Which contenders run in a round, in which order: direct, A, USL, B, USL …
    static func round(_ kinds: [Contender.Kind]) -> [Contender.Kind] {
        let paired = kinds.filter { $0 != .direct && !$0.isOurs }.flatMap { kind -> [Contender.Kind] in
            guard let ours = kind.counterpart, kinds.contains(ours) else { return [kind] }
            return [kind, ours]
        }
        let alone = kinds.filter { $0.isOurs && !paired.contains($0) }
        return kinds.filter { $0 == .direct } + paired + alone
    }

    mutating func measure(
        _ workload: Workload, _ contenders: [Contender], at site: Site, rounds: Int, seconds: Double
    ) throws {
        let order = Self.round(contenders.map(\.kind))
        for round in 1...rounds {
            for (place, kind) in order.enumerated() {
                guard let contender = contenders.first(where: { $0.kind == kind }) else { continue }
                let measured = try Measurement(workload, contender, at: site, seconds: seconds)
                let run = Run(
                    workload: workload.name, contender: kind, round: round, place: place, values: measured.values,
                    processors: measured.processors)
                runs.append(run)
                let value = run.values[workload.metric] ?? 0
                note(
                    "\(workload.name), round \(round) of \(rounds): \(kind.rawValue) \(rounded(value)) \(workload.metric.unit)"
                )
            }
        }
    }

    mutating func append(_ run: Run) { runs.append(run) }

    // MARK: - Statistics

    func statistic(_ workload: String, _ contender: Contender.Kind, _ metric: Metric) -> Statistic? {
        Statistic(runs.filter { $0.workload == workload && $0.contender == contender }.compactMap { $0.values[metric] })
    }

    /// Ours divided by another, for each run of that and the one of ours behind it; for direct, by the round's.
    func ratio(_ workload: String, to peer: Contender.Kind, _ metric: Metric) -> Statistic? {
        guard let ours = peer.counterpart else { return nil }
        return ratio(workload, of: ours, to: peer, metric)
    }

    func ratio(
        _ workload: String, of ours: Contender.Kind, to peer: Contender.Kind, _ metric: Metric
    ) -> Statistic? {
        let here = runs.filter { $0.workload == workload }
        let ratios = here.filter { $0.contender == peer }.compactMap { other -> Double? in
            let neighbours = here.filter {
                $0.contender == ours && $0.round == other.round && (peer == .direct || $0.place == other.place + 1)
            }
            guard let theirs = other.values[metric], theirs > 0,
                let our = Statistic(neighbours.compactMap { $0.values[metric] })
            else { return nil }
            return our.median / theirs
        }
        return Statistic(ratios)
    }

    /// What each process used, by name: the median of all runs.
    func processors(_ workload: String, _ contender: Contender.Kind) -> [(name: String, seconds: Double)] {
        let here = runs.filter { $0.workload == workload && $0.contender == contender && !$0.processors.isEmpty }
        let names = Set(here.flatMap(\.processors.keys)).sorted()
        return names.compactMap { name in
            Statistic(here.map { $0.processors[name] ?? 0 }).map { (name, $0.median) }
        }
    }
}
