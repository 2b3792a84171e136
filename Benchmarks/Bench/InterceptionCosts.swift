import NetworkLab

/// What programs pay for their connections by the way in which these are intercepted: what `usl-lab connect` measures, and how long it
/// takes to start.
struct InterceptionCosts {
    enum Way: String, CaseIterable {
        case bare
        case preload
        case donate
        case seccomp
    }

    enum Row: String, CaseIterable {
        case socket = "`socket`"
        case direct = "`connect`, direct"
        case shim = "`connect`, shim"
        case session = "`connect`, session over a plain link"
        case start = "`usl /bin/true`"

        /// What the way of a connection is called there.
        var treatment: String? {
            switch self {
            case .socket, .direct: "direct"
            case .shim: "shim"
            case .session: "session"
            case .start: nil
            }
        }
    }

    /// Medians, with their units.
    private(set) var cells: [Row: [Way: String]] = [:]
    private let runs: Int
    private let connections: Int
    private let starts: Int

    init(usl: String, runs: Int, connections: Int, starts: Int) throws {
        let table = try LabProgram.table([
            "connect", "--usl", usl, "--healthy", "--runs", "\(runs)", "--connections", "\(connections)",
        ])
        self.init(table, runs: runs, connections: connections, starts: starts)
        try Lab.with(hosts: ["machine"]) { lab in
            for way in Way.allCases {
                let prefix =
                    way == .bare ? [] : [usl, "-q", "--intercept", way.rawValue, "--treatment", "direct", "--"]
                let median = try start(prefix + ["/bin/true"], lab["machine"])
                cells[.start, default: [:]][way] = fixed(median / 1000, 1) + " ms"
            }
        }
    }

    /// Whether sockets block, the way, `socket`, `connect`, and more.
    init(_ table: [[String]], runs: Int, connections: Int, starts: Int) {
        (self.runs, self.connections, self.starts) = (runs, connections, starts)
        for way in Way.allCases {
            for row in Row.allCases {
                guard let treatment = row.treatment else { continue }
                let name = way == .bare ? "bare" : "\(way.rawValue), \(treatment)"
                guard let found = table.first(where: { $0.count > 3 && $0[0] == "blocks" && $0[1] == name }) else {
                    continue
                }
                cells[row, default: [:]][way] = row == .socket ? found[2] : found[3]
            }
        }
    }

    /// - Returns: the median of its starts, in microseconds.
    private func start(_ command: [String], _ host: Host) throws -> Double {
        let script = """
            i=0
            while [ $i -lt \(starts) ]; do
                begin=$EPOCHREALTIME
                "$@"
                echo "$begin $EPOCHREALTIME"
                i=$((i + 1))
            done | awk '{ printf "%d\\n", ($2 - $1) * 1e6 }'
            """
        let output = try host.succeed(["/bin/bash", "-c", script, "starts"] + command)
        guard let times = Statistic(output.split(separator: "\n").compactMap { Double($0) }) else {
            throw BenchFailure("starts: \(output)")
        }
        return times.median
    }

    // MARK: - Telling

    /// For docs/interception.md.
    var markdown: String {
        var table = MarkdownTable([""] + Way.allCases.map { $0 == .bare ? "bare" : "`\($0.rawValue)`" })
        for row in Row.allCases {
            table.rows.append([row.rawValue] + Way.allCases.map { cells[row]?[$0] ?? "" })
        }
        return "Medians of \(runs) × \(connections) connections; of `/bin/true` of \(starts) starts.\n\n" + table.text
    }

    var json: JSON {
        .object(
            Row.allCases.map { row in
                let fields = Way.allCases.map { ($0.rawValue, JSON.text(cells[row]?[$0] ?? "")) }
                return (row.rawValue.replacing("`", with: ""), .object(fields))
            })
    }
}
