/// How long streams pause under faults: what `usl-lab faults` measures, run as a program of its own.
struct Recovery {
    /// One fault and one contender, as they stand in its table.
    struct Row: Equatable {
        let fault: String
        let contender: String
        let median: String
        let longest: String
        /// How often the stream ended, and how often it did not come back in time.
        let ended: String
        let notOver: String
    }

    let rows: [Row]

    /// - Parameter arguments: of `usl-lab faults`.
    init(usl: String, arguments: [String]) throws {
        self.init(try LabProgram.table(["faults", "--usl", usl] + arguments))
    }

    /// Fault, its length, times, contender, median, 99 %, longest, two more times, ended, not over.
    init(_ table: [[String]]) {
        rows = table.filter { $0.count > 10 }.map { cells in
            Row(
                fault: cells[0], contender: cells[3], median: cells[4], longest: cells[6], ended: cells[9],
                notOver: cells[10])
        }
    }

    var markdown: String {
        var contenders: [String] = []
        var faults: [String] = []
        for row in rows {
            if !contenders.contains(row.contender) { contenders.append(row.contender) }
            if !faults.contains(row.fault) { faults.append(row.fault) }
        }
        var table = MarkdownTable(["fault"] + contenders)
        for fault in faults {
            table.rows.append(
                [fault]
                    + contenders.map { contender in
                        rows.first { $0.fault == fault && $0.contender == contender }.map(cell) ?? ""
                    })
        }
        return table.text
    }

    private func cell(_ row: Row) -> String {
        if !row.ended.isEmpty { return "ended" }
        if !row.notOver.isEmpty { return "not back" }
        return "\(row.median) / \(row.longest)"
    }

    var json: JSON {
        .list(
            rows.map { row in
                .object([
                    ("fault", .text(row.fault)), ("contender", .text(row.contender)), ("median", .text(row.median)),
                    ("longest", .text(row.longest)), ("ended", .text(row.ended)), ("not-over", .text(row.notOver)),
                ])
            })
    }
}
