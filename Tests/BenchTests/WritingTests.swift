import Testing

@testable import Bench

@Suite("Tables, JSON and pictures")
struct WritingTests {
    @Test func aTable() {
        var table = MarkdownTable(["", "a|b"])
        table.rows = [["x", "1"], ["y"]]
        #expect(table.text == "|  | a\\|b |\n|---|---|\n| x | 1 |\n| y |  |\n")
    }

    @Test func json() {
        let value = JSON.object([
            ("text", .text("a\"b\\c\n\u{1}é")), ("numbers", .list([.number(1), .number(0.5), .number(.nan)])),
            ("objects", .list([.object([("x", .number(-3))]), .object([])])), ("nothing", .list([])),
        ])
        #expect(
            value.written() == """
                {
                  "text": "a\\"b\\\\c\\n\\u0001é",
                  "numbers": [1, 0.5, null],
                  "objects": [
                    {
                      "x": -3
                    },
                    {}
                  ],
                  "nothing": []
                }
                """)
    }

    @Test("bars are as long as medians, and the spread is drawn")
    func aPicture() throws {
        let ours = try #require(Statistic([40, 50, 60]))
        let theirs = try #require(Statistic([100]))
        let svg = BarChart(
            panels: [
                .init(
                    title: "a & b <c>",
                    bars: [
                        .init(label: "USL", statistic: ours, isOurs: true),
                        .init(label: "other", statistic: theirs, isOurs: false),
                    ]), .init(title: "nothing", bars: []),
            ], note: "here"
        ).svg
        #expect(svg.contains("a &amp; b &lt;c&gt;"))
        #expect(!svg.contains("nothing"))
        // 480 are for the longest.
        #expect(svg.contains("class=\"ours\" x=\"150\" y=\"42\" width=\"240.0\""))
        #expect(svg.contains("class=\"other\" x=\"150\" y=\"64\" width=\"480.0\""))
        #expect(svg.contains("M342.0 50H438.0"))
        #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
    }

    @Test("a client's words become an outcome")
    func outcomes() throws {
        #expect(LoadOutcome("ready\n") == nil)
        guard case .bulk(1, 3, 1_000)? = LoadOutcome("ready\nbulk 1 3 1000\n") else {
            Issue.record("no bulk")
            return
        }
        let trips = try #require(LoadOutcome("ready\ntrips 0 1000000000 50 1000 2000 3000 4000\n"))
        let ping = try #require(Workload.all.first { $0.name == "ping 64 B" })
        let values = ping.values(trips, processors: nil)
        #expect(values == [.median: 1, .p99: 2, .p999: 3, .rate: 50])
        let bulk = LoadOutcome.bulk(begin: 0, end: 1_000_000_000, bytes: 1 << 30)
        let found = Workload.oneWay(1).values(bulk, processors: ["a": 0.5, "b": 1])
        #expect(found[.processorTime] == 1.5)
        #expect(found[.messages] == 4096)
        #expect(abs((found[.throughput] ?? 0) - 8.59) < 0.01)
    }

    @Test("rows of the table of pauses")
    func pauses() {
        let table = LabProgram.cells(
            of: """
                | fault | lasts | times | under | median | p99 | longest | longest after its end | longest before it | ended | not over after 8 s |
                |---|---|---|---|---|---|---|---|---|---|---|
                | reset |  | 10 | USL | 4.03 ms | 5.00 ms | 6.00 ms |  | 3.00 ms |  |  |
                | reset |  | 10 | plain TCP | – | – | – |  | – | 10 |  |
                """)
        let recovery = Recovery(table)
        #expect(recovery.markdown.contains("| reset | 4.03 ms / 6.00 ms | ended |"))
        #expect(
            recovery.rows == [
                .init(fault: "reset", contender: "USL", median: "4.03 ms", longest: "6.00 ms", ended: "", notOver: ""),
                .init(fault: "reset", contender: "plain TCP", median: "–", longest: "–", ended: "10", notOver: ""),
            ])
    }

    @Test("ways of interception beside each other")
    func interception() {
        let table = [
            ["blocks", "bare", "3 µs", "31 µs", "40 µs", "1", "7"], ["blocks", "usl", "4 µs", "5 µs"],
            ["blocks", "seccomp, direct", "4 µs", "334 µs"], ["blocks", "seccomp, session", "5 µs", "1000 µs"],
            ["does not block", "seccomp, session", "6 µs", "7 µs"],
        ]
        let text = InterceptionCosts(table, runs: 1, connections: 2, starts: 3).markdown
        #expect(text.contains("| `socket` | 3 µs |  |  | 4 µs |"))
        #expect(text.contains("| `connect`, session over a plain link | 31 µs |  |  | 1000 µs |"))
    }

    @Test("budgets are kept or not")
    func budgets() {
        func run(_ kind: Contender.Kind, _ place: Int, _ workload: String, _ values: [Metric: Double]) -> Series.Run {
            Series.Run(workload: workload, contender: kind, round: 1, place: place, values: values)
        }
        let bulk = Workload.oneWay(1).name
        let table = Budget.table(
            Series([
                run(.haproxySplice, 0, bulk, [.throughput: 10, .processorTime: 1]),
                run(.session, 1, bulk, [.throughput: 11, .processorTime: 1.2]),
                run(.direct, 0, "connect", [.median: 100]), run(.session, 1, "connect", [.median: 1101]),
            ]))
        #expect(table.contains("| throughput, one connection | ≥ 1.00 × HAProxy, splice | 1.10 | kept |"))
        #expect(table.contains("| processor time for it | ≤ 1.15 × HAProxy, splice | 1.20 | not kept |"))
        #expect(table.contains("| connect to first byte | ≤ direct + 1000 µs | + 1001 µs | not kept |"))
        #expect(!table.contains("ping-pong"))
        #expect(Budget.table(Series()).isEmpty)
    }

    @Test("a report tells medians, what is left out, and ratios")
    func aReport() {
        var report = Report(
            machine: Machine(processor: "P", cores: 2, kernel: "6.1", date: "2026-01-31", load: 0.5), isQuick: true)
        report.leftOut = [(.kcptun, "'kcptun-client' is not installed")]
        let name = Workload.oneWay(1).name
        for (place, (kind, value)) in [(Contender.Kind.direct, 40.0), (.haproxy, 10), (.session, 12)].enumerated() {
            report.series.append(
                .init(
                    workload: name, contender: kind, round: 1, place: place,
                    values: [.throughput: value, .processorTime: 0.5], processors: ["p": 0.5]))
        }
        let text = report.markdown
        #expect(text.contains("2026-01-31, 2 × P, Linux 6.1"))
        #expect(text.contains("Left out: kcptun, as 'kcptun-client' is not installed."))
        #expect(text.contains("| HAProxy | 10.0 |"))
        #expect(text.contains("| USL ÷ HAProxy | 1.20 | 1.00 |"))
        let json = report.json.written()
        #expect(json.contains("\"of-direct\": 0.3"))
        #expect(json.contains("\"ours-to-it\": 1.2"))
        #expect(report.picture.svg.contains(">HAProxy</text>"))
    }
}
