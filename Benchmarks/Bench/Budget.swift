/// What USL may cost at most: ratios of one run.
struct Budget {
    private enum Bound {
        case atLeast(Double)
        case atMost(Double)
        /// So many microseconds more than direct.
        case more(Double)
    }

    private let what: String
    private let workload: String
    private let metric: Metric
    private let peer: Contender.Kind
    private let bound: Bound

    private static let all: [Budget] = [
        Budget(
            what: "throughput, one connection", workload: Workload.oneWay(1).name, metric: .throughput,
            peer: .haproxySplice, bound: .atLeast(1)),
        Budget(
            what: "processor time for it", workload: Workload.oneWay(1).name, metric: .processorTime,
            peer: .haproxySplice, bound: .atMost(1.15)),
        Budget(
            what: "throughput over TLS, one connection", workload: Workload.oneWay(1).name, metric: .throughput,
            peer: .stunnel, bound: .atLeast(1)),
        Budget(
            what: "64-byte ping-pong", workload: "ping 64 B", metric: .median, peer: .haproxySplice, bound: .atMost(1.2)
        ),
        Budget(
            what: "connect to first byte", workload: "connect", metric: .median, peer: .direct, bound: .more(1000)),
    ]

    /// What is allowed beside what was found; empty if nothing of it was measured.
    static func table(_ series: Series) -> String {
        var table = MarkdownTable(["", "allowed", "found", ""])
        table.rows = all.compactMap { $0.row(series) }
        return table.rows.isEmpty ? "" : "\n### Budgets\n\n" + table.text
    }

    private func row(_ series: Series) -> [String]? {
        let (allowed, found, isKept): (String, String, Bool)
        switch bound {
        case .atLeast(let limit):
            guard let ratio = series.ratio(workload, to: peer, metric)?.median else { return nil }
            (allowed, found, isKept) = ("≥ \(fixed(limit, 2)) × \(peer.rawValue)", fixed(ratio, 2), ratio >= limit)
        case .atMost(let limit):
            guard let ratio = series.ratio(workload, to: peer, metric)?.median else { return nil }
            (allowed, found, isKept) = ("≤ \(fixed(limit, 2)) × \(peer.rawValue)", fixed(ratio, 2), ratio <= limit)
        case .more(let limit):
            guard let ours = series.statistic(workload, .session, metric)?.median,
                let theirs = series.statistic(workload, peer, metric)?.median
            else { return nil }
            let difference = ours - theirs
            (allowed, found, isKept) = (
                "≤ \(peer.rawValue) + \(fixed(limit, 0)) µs", "+ \(fixed(difference, 0)) µs", difference <= limit
            )
        }
        return [what, allowed, found, isKept ? "kept" : "not kept"]
    }
}
