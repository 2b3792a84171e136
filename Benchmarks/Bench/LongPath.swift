import NetworkLab

/// Bulk over a long fat path: which share of it applications get, and how much replay memory that takes.
enum LongPath {
    static let workload = Workload(
        name: "long path", load: .bulk(size: LoadConnection.bufferSize, connections: 1, both: false))

    /// Gbit/s of the path.
    private static let rate = 1.0

    static let kinds: [Contender.Kind] = [
        .direct, .haproxySplice, .secureShell, .wireGuard, .kcptun, .session, .encryptedSession,
    ]
    /// Those of a run of three minutes.
    static let fewKinds: [Contender.Kind] = [.direct, .secureShell, .session, .encryptedSession]

    static func measure(
        _ kinds: [Contender.Kind], usl: String, rounds: Int, seconds: Double, into series: inout Series
    ) throws {
        var runs: [Series.Run] = []
        try Site.onLongPath(usl: usl) { site in
            let contenders = try kinds.filter { Contender.obstacle(to: $0, at: site) == nil }
                .map { try Contender.start($0, at: site) }
            for round in 1...rounds {
                for (place, contender) in contenders.enumerated() {
                    let run = try measure(contender, site, seconds, round, place)
                    runs.append(run)
                    let share = rounded(run.values[.share] ?? 0)
                    note("long path, round \(round) of \(rounds): \(contender.kind.rawValue) \(share) %")
                }
            }
        }
        for run in runs { series.append(run) }
    }

    private static func measure(
        _ contender: Contender, _ site: Site, _ seconds: Double, _ round: Int, _ place: Int
    ) throws -> Series.Run {
        var replay = 0
        var next: UInt64 = 0
        let measured = try Measurement(workload, contender, at: site, seconds: seconds) {
            guard contender.kind.isOurs, labNow() >= next else { return }
            next = labNow() + 200_000_000
            let status = try site.near.succeed([site.usl, "status", "--json"])
            replay = max(replay, SessionStatus.replayBytes(in: status))
        }
        var values = measured.values
        values[.share] = (values[.throughput] ?? 0) / rate * 100
        if contender.kind.isOurs { values[.replay] = Double(replay) / 0x1p20 }
        return Series.Run(
            workload: workload.name, contender: contender.kind, round: round, place: place, values: values,
            processors: measured.processors)
    }
}
