import CLinux
import NetworkLab
import Testing

/// What the differential suite has found, as docs/interception.md shows it: for each program a table of its cases, with the modes
/// beside each other.
struct InterceptionTable {
    /// A part of the document: what is between its lines is this program's.
    enum Section: String {
        case usual = "C and Python"
        case others = "other languages"
    }

    private static let document =
        #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined() + "/docs/interception.md"

    let modes: [InterceptionMode]
    let known: [KnownDifference]
    private var sections: [(program: ProbeProgram, rows: [(name: String, cells: [String])])] = []

    init(modes: [InterceptionMode], known: [KnownDifference]) {
        self.modes = modes
        self.known = known
    }

    mutating func add(_ program: ProbeProgram, cases: [String]) {
        let rows = cases.map { name in
            let cells = modes.map { mode in
                let marks = known.filter { !$0.places(of: name, in: mode, program).isEmpty }.map(\.mark)
                return marks.isEmpty ? "same" : marks.joined(separator: ", ")
            }
            return (name: name, cells: cells)
        }
        sections.append((program, rows))
    }

    private func text(_ section: Section) -> String {
        var text = ""
        for (program, rows) in sections {
            text += "\n### \(program.rawValue)\n\n"
            guard rows.contains(where: { $0.cells.contains { $0 != "same" } }) else {
                text += "All \(rows.count) cases are the same in every mode.\n"
                continue
            }
            text += "| case | " + modes.map { "`\($0.name)`" }.joined(separator: " | ") + " |\n"
            text += "|---|" + String(repeating: "---|", count: modes.count) + "\n"
            for row in rows { text += "| \(row.name) | " + row.cells.joined(separator: " | ") + " |\n" }
        }
        switch section {
        case .usual: text += "\n" + explanations
        case .others: break
        }
        return text + "\n"
    }

    private var explanations: String {
        var text = "### The differences\n\n| | what differs | why |\n|---|---|---|\n"
        for difference in known {
            let title = (difference.isSteady ? "" : "At times: ") + difference.title
            text += "| \(difference.mark) | \(title) | \(difference.reason) |\n"
        }
        return text
    }

    /// Compares with the document, or writes it if the environment says so.
    func compareWithDocument(_ section: Section) throws {
        let part = DocumentSection(of: Self.document, madeBy: "make interception", section.rawValue)
        let made = text(section)
        guard getenv("USL_WRITE_INTERCEPTION") != nil else {
            let (before, after) = try #require(
                try part.replaced(by: made), "\(Self.document) has no section '\(section.rawValue)'")
            #expect(before == after, "docs/interception.md is not what was found: run `make interception`")
            return
        }
        try part.write(made)
    }
}
