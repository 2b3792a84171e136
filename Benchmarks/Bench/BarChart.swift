/// A picture of bars in SVG: each as long as a median, with a line from the least to the most that was measured.
struct BarChart {
    struct Bar {
        let label: String
        let statistic: Statistic
        /// Ours is drawn in another colour.
        let isOurs: Bool
    }

    struct Panel {
        let title: String
        var bars: [Bar]
    }

    let panels: [Panel]
    /// Stands below: where and when.
    let note: String

    private static let width = 720
    private static let labelWidth = 150
    private static let valueWidth = 90
    private static let barHeight = 16
    private static let rowHeight = 22
    private static let titleHeight = 34

    var svg: String {
        var body = ""
        var y = 8
        for panel in panels where !panel.bars.isEmpty {
            body += text(12, y + 20, panel.title, "class=\"title\"")
            y += Self.titleHeight
            let most = panel.bars.map(\.statistic.most).max() ?? 1
            let scale = Double(Self.width - Self.labelWidth - Self.valueWidth) / (most > 0 ? most : 1)
            for bar in panel.bars {
                body += row(bar, y, scale)
                y += Self.rowHeight
            }
            y += 8
        }
        body += text(12, y + 14, note, "class=\"note\"")
        y += 24
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(y)" width="\(Self.width)" height="\(y)" role="img">
            <style>
            text { font: 12px sans-serif; fill: #1f2328 } .title { font-weight: bold; font-size: 13px } .note { fill: #59636e; font-size: 11px }
            .ours { fill: #0969da } .other { fill: #afb8c1 } .spread { stroke: #1f2328 }
            @media (prefers-color-scheme: dark) {
            text { fill: #e6edf3 } .note { fill: #9198a1 } .other { fill: #656c76 } .spread { stroke: #e6edf3 }
            }
            </style>
            \(body)</svg>

            """
    }

    private func row(_ bar: Bar, _ y: Int, _ scale: Double) -> String {
        let (left, middle) = (Self.labelWidth, y + Self.barHeight / 2)
        func x(_ value: Double) -> String { fixed(Double(left) + value * scale, 1) }
        let statistic = bar.statistic
        var row = text(left - 8, middle + 4, bar.label, "text-anchor=\"end\"")
        row +=
            "<rect class=\"\(bar.isOurs ? "ours" : "other")\" x=\"\(left)\" y=\"\(y)\" "
            + "width=\"\(fixed(statistic.median * scale, 1))\" height=\"\(Self.barHeight)\"/>\n"
        row += "<path class=\"spread\" d=\"M\(x(statistic.least)) \(middle)H\(x(statistic.most))\"/>\n"
        let end = Int(max(statistic.most, statistic.median) * scale) + left
        return row + text(end + 6, middle + 4, rounded(statistic.median), "")
    }

    private func text(_ x: Int, _ y: Int, _ content: String, _ attributes: String) -> String {
        let escaped = content.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
        return "<text x=\"\(x)\" y=\"\(y)\"\(attributes.isEmpty ? "" : " ")\(attributes)>\(escaped)</text>\n"
    }
}
