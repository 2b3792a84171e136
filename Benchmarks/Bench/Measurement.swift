import NetworkLab

/// One client's run through a contender.
struct Measurement {
    let values: [Metric: Double]
    /// Seconds that each process used per GiB, by name.
    let processors: [String: Double]

    /// - Parameter watch: called some times a second while it runs.
    init(
        _ workload: Workload, _ contender: Contender, at site: Site, seconds: Double, watch: () throws -> Void = {}
    ) throws {
        let command =
            contender.entrance.prefix + [site.tool, "load"]
            + workload.command(contender.entrance, seconds: seconds)
        let client = try site.near.start(command)
        defer { client.terminate() }
        func output(_ what: String, within limit: Double, _ isThere: (String) -> Bool) throws {
            let end = labNow() + UInt64(limit * 1e9)
            while !isThere(client.standardOutput) {
                // Asked first: what is written before the end is then certainly read.
                if let over = client.ended, !isThere(client.standardOutput) {
                    throw BenchFailure(contender, workload, "the client has ended (\(over)): \(client.standardError)")
                }
                if labNow() > end { throw BenchFailure(contender, workload, "no \(what) within \(Int(limit)) s") }
                try watch()
                rest(milliseconds: 3)
            }
        }
        try output("connection", within: 30) { $0.contains("ready") }
        let before = ProcessorUse(of: contender.kind, at: site)
        let readyBy = labNow()
        var found: LoadOutcome?
        try output("outcome", within: seconds + 60) {
            found = LoadOutcome($0)
            return found != nil
        }
        let after = ProcessorUse(of: contender.kind, at: site)
        guard let outcome = found, client.ended == nil else {
            throw BenchFailure(contender, workload, "the client did not stay until it was looked at")
        }
        // What was seen too late says nothing.
        let isKnown = readyBy <= outcome.begin && !contender.kind.processes.isEmpty
        let used = isKnown ? after.seconds(since: before) : nil
        values = workload.values(outcome, processors: used)
        if case .bulk(_, _, let bytes) = outcome, let used {
            processors = used.mapValues { $0 / (Double(bytes) / 0x1p30) }
        } else {
            processors = [:]
        }
    }
}

/// Why there is no result.
struct BenchFailure: Error, CustomStringConvertible {
    let description: String

    init(_ text: String) { description = text }

    init(_ contender: Contender, _ workload: Workload, _ reason: String) {
        let errors = contender.processes.map(\.standardError).filter { !$0.isEmpty }.map { "\n" + $0.suffix(2000) }
        description = "\(contender.kind.rawValue), \(workload.name): \(reason)\(errors.joined())"
    }
}
