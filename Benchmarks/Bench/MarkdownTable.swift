/// A table in Markdown.
struct MarkdownTable {
    let header: [String]
    var rows: [[String]] = []

    init(_ header: [String]) { self.header = header }

    var text: String {
        var text = line(header) + "|" + String(repeating: "---|", count: header.count) + "\n"
        for row in rows { text += line(row + Array(repeating: "", count: max(0, header.count - row.count))) }
        return text
    }

    private func line(_ cells: [String]) -> String {
        "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
    }
}
