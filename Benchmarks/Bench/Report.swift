/// Everything that one run has found, as a table, as JSON and as a picture.
struct Report {
    let machine: Machine
    let isQuick: Bool
    /// Contenders that could not be measured, and why.
    var leftOut: [(kind: Contender.Kind, reason: String)] = []
    var series = Series()
    /// Seconds of each run.
    var seconds = 0.0
    var interception: InterceptionCosts?
    var recovery: Recovery?

    private let kinds = Contender.Kind.allCases

    init(machine: Machine, isQuick: Bool) {
        self.machine = machine
        self.isQuick = isQuick
    }

    // MARK: - As tables

    var markdown: String {
        var text = "Measured by `make bench\(isQuick ? " QUICK=1" : "")`: \(machine.text).\n"
        for (kind, reason) in leftOut { text += "Left out: \(kind.rawValue), as \(reason).\n" }
        text += Budget.table(series) + throughput + ratios + processors + latency + connections + messages + longPath
        if let recovery {
            text +=
                "\n### Pauses\n\nOf a 64-byte ping-pong under faults, the fault itself included: median / longest.\n\n"
            text += recovery.markdown
        }
        return text
    }

    private func workloads(_ isWanted: (Workload) -> Bool) -> [Workload] {
        Workload.all.filter { workload in
            isWanted(workload) && series.runs.contains { $0.workload == workload.name }
        }
    }

    private func table(_ title: String, _ columns: [String], _ cells: (Contender.Kind) -> [String]) -> String {
        if columns.isEmpty { return "" }
        var table = MarkdownTable([""] + columns)
        for kind in kinds {
            let row = cells(kind)
            if row.contains(where: { !$0.isEmpty }) { table.rows.append([kind.rawValue] + row) }
        }
        return table.rows.isEmpty ? "" : "\n### \(title)\n\n" + table.text
    }

    private func cell(_ workload: String, _ kind: Contender.Kind, _ metric: Metric) -> String {
        guard let statistic = series.statistic(workload, kind, metric) else { return "" }
        let spread = statistic.values.count > 1 ? " (\(rounded(statistic.least))–\(rounded(statistic.most)))" : ""
        return rounded(statistic.median) + spread
    }

    private var bulk: [Workload] { workloads { $0.metric == .throughput } }

    private var throughput: String {
        table(
            "Throughput, Gbit/s: median (least–most)",
            bulk.map { $0.name + (isSingle($0) ? " connection" : " connections") }
        ) { kind in
            bulk.map { cell($0.name, kind, .throughput) }
        }
    }

    private func isSingle(_ workload: Workload) -> Bool {
        if case .bulk(_, 1, _) = workload.load { true } else { false }
    }

    private var ratios: String {
        let columns = workloads { _ in true }.flatMap { workload -> [(name: String, metric: Metric)] in
            let costs = workload.metric == .throughput ? [(workload.name, Metric.processorTime)] : []
            return [(workload.name, workload.metric)] + costs
        }
        var table = MarkdownTable([""] + columns.map { "\($0.name): \($0.metric.title)" })
        for kind in kinds {
            guard let ours = kind.counterpart else { continue }
            let row = columns.map { column in
                series.ratio(column.name, to: kind, column.metric).map { fixed($0.median, 2) } ?? ""
            }
            if row.contains(where: { !$0.isEmpty }) {
                table.rows.append(["\(ours.rawValue) ÷ \(kind.rawValue)"] + row)
            }
        }
        guard !table.rows.isEmpty else { return "" }
        return
            "\n### Ratios\n\nMedians of pairs that ran one behind the other. Of times, less is better; of all else, more.\n\n"
            + table.text
    }

    private var processors: String {
        table(
            "Processor seconds per GiB of all of a contender's processes",
            bulk.map(\.name) + ["of which, \(bulk.first?.name ?? "")"]
        ) { kind in
            let cells = bulk.map { cell($0.name, kind, .processorTime) }
            guard cells.contains(where: { !$0.isEmpty }), let first = bulk.first else { return [] }
            let shares = series.processors(first.name, kind).map { "\($0.name) \(rounded($0.seconds))" }
            return cells + [shares.joined(separator: ", ")]
        }
    }

    private var latency: String {
        let all = workloads { if case .ping = $0.load { true } else { false } }
        return percentiles("Ping-pong, µs: median (least–most of the runs' medians), 99 %, 99.9 %", all)
    }

    private var connections: String {
        let first = workloads { $0.load == .connect(threads: 1) }
        let many = workloads { if case .connect = $0.load { true } else { false } }
        let rates = table("Connections a second: connect, a byte there and one back, close", many.map { $0.name }) {
            kind in
            many.map { cell($0.name, kind, .rate) }
        }
        return percentiles("From connect to the first byte, µs: median, 99 %, 99.9 %", first) + rates
    }

    private func percentiles(_ title: String, _ all: [Workload]) -> String {
        let columns = all.flatMap { [$0.name, "99 %", "99.9 %"] }
        return table(title, columns) { kind in
            all.flatMap { workload in
                [Metric.median, .p99, .p999].map { metric in
                    metric == .median
                        ? cell(workload.name, kind, metric)
                        : series.statistic(workload.name, kind, metric).map { rounded($0.median) } ?? ""
                }
            }
        }
    }

    private var messages: String {
        let all = workloads { $0.metric == .messages }
        return table("Small writes on one connection, thousands a second", all.map(\.name)) { kind in
            all.map { workload in
                guard let statistic = series.statistic(workload.name, kind, .messages) else { return "" }
                let (least, most) = (rounded(statistic.least / 1000), rounded(statistic.most / 1000))
                return "\(rounded(statistic.median / 1000)) (\(least)–\(most))"
            }
        }
    }

    private var longPath: String {
        let name = LongPath.workload.name
        return table(
            "Long fat path: 50 ms there and back, 1 Gbit/s, one connection",
            ["% of the path", "of direct", "processor seconds per GiB", "replay memory at most, MiB"]
        ) { kind in
            [
                cell(name, kind, .share),
                kind == .direct
                    ? "" : series.ratio(name, of: kind, to: .direct, .share).map { fixed($0.median, 2) } ?? "",
                cell(name, kind, .processorTime),
                cell(name, kind, .replay),
            ]
        }
    }

    // MARK: - As JSON

    var json: JSON {
        .object(
            [
                ("machine", machine.json), ("quick", .text(isQuick ? "yes" : "no")), ("seconds", .number(seconds)),
                (
                    "left-out",
                    .list(leftOut.map { .object([("contender", .text($0.kind.rawValue)), ("why", .text($0.reason))]) })
                ),
                ("figures", .list(figures)), ("runs", .list(series.runs.map(Self.json))),
            ] + (interception.map { [("interception", $0.json)] } ?? [])
                + (recovery.map { [("recovery", $0.json)] } ?? []))
    }

    private var figures: [JSON] {
        var figures: [JSON] = []
        for workload in Workload.all + [LongPath.workload] {
            for kind in kinds {
                for metric in Metric.allCases {
                    guard let statistic = series.statistic(workload.name, kind, metric) else { continue }
                    var fields: [(String, JSON)] = [
                        ("workload", .text(workload.name)), ("contender", .text(kind.rawValue)),
                        ("metric", .text(metric.rawValue)), ("unit", .text(metric.unit)),
                        ("median", .number(statistic.median)), ("least", .number(statistic.least)),
                        ("most", .number(statistic.most)), ("runs", .number(Double(statistic.values.count))),
                    ]
                    if kind != .direct, let ratio = series.ratio(workload.name, of: kind, to: .direct, metric) {
                        fields.append(("of-direct", .number(ratio.median)))
                    }
                    if let ours = series.ratio(workload.name, to: kind, metric) {
                        fields.append(("ours-to-it", .number(ours.median)))
                    }
                    figures.append(.object(fields))
                }
            }
        }
        return figures
    }

    private static func json(_ run: Series.Run) -> JSON {
        let values = Metric.allCases.compactMap { metric in
            run.values[metric].map { (metric.rawValue, JSON.number($0)) }
        }
        let processors = run.processors.sorted { $0.key < $1.key }.map { ($0.key, JSON.number($0.value)) }
        return .object(
            [
                ("workload", .text(run.workload)), ("contender", .text(run.contender.rawValue)),
                ("round", .number(Double(run.round))), ("place", .number(Double(run.place))),
            ] + values + (processors.isEmpty ? [] : [("processors", .object(processors))]))
    }

    // MARK: - As a picture

    var picture: BarChart {
        func panel(_ title: String, _ workload: String, _ metric: Metric) -> BarChart.Panel {
            let bars = kinds.compactMap { kind in
                series.statistic(workload, kind, metric).map {
                    BarChart.Bar(label: kind.rawValue, statistic: $0, isOurs: kind.isOurs)
                }
            }
            return BarChart.Panel(title: title, bars: bars)
        }
        return BarChart(
            panels: [
                panel("Throughput of one connection, Gbit/s (more is better)", Workload.oneWay(1).name, .throughput),
                panel("64-byte ping-pong, µs (less is better)", "ping 64 B", .median),
            ], note: "Bars: medians; lines: least to most. \(machine.text)")
    }
}
