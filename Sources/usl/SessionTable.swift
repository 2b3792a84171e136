/// Sessions as a table for people.
struct SessionTable {
    private static let titles = [
        "ID", "ROLE", "PROGRAM", "DESTINATION", "PEER", "STATE", "SINCE", "EXPIRES", "SENT", "RECEIVED", "LINKS",
        "RECONNECTS", "REASON",
    ]

    /// One line a row, columns aligned.
    let text: String

    init(_ sessions: [JSONValue]) { text = TextTable([Self.titles] + sessions.map(Self.row)).text }

    private static func row(_ session: JSONValue) -> [String] {
        func field(_ name: String) -> String { session[name]?.plainText ?? "-" }
        func bytes(_ name: String) -> String { session["bytes"]?[name]?.plainText ?? "-" }
        // Eight digits tell sessions apart, as with commits.
        return [
            String(field("id").prefix(8)), field("role"), field("program"), field("destination"), session.peer,
            field("state"), field("since"), field("expires"), bytes("sent"), bytes("received"),
            "\(session["links"]?.elements.count ?? 0)", field("reconnects"), field("reason"),
        ]
    }
}

/// One session with everything that there is to say of it, for people.
struct SessionDetail {
    let text: String

    init(_ session: JSONValue) {
        func field(_ name: String) -> String { session[name]?.plainText ?? "-" }
        func part(_ of: String, _ name: String) -> String { session[of]?[name]?.plainText ?? "-" }
        let reason = session["reason"].map { $0 == .null ? "" : ", \($0.plainText)" } ?? ""
        let fields = [
            ["session", field("id")],
            ["role", field("role")],
            ["program", field("program")],
            ["destination", field("destination")],
            ["peer", session.peer],
            ["state", "\(field("state"))\(reason), since \(field("since"))"],
            ["expires", "\(field("expires")) (may be suspended for \(field("suspend_limit")) s)"],
            ["bytes", "\(part("bytes", "sent")) sent, \(part("bytes", "received")) received"],
            ["replay buffer", "\(part("replay", "bytes")) of at most \(part("replay", "limit")) bytes"],
            ["reconnects", field("reconnects")],
        ]
        let links = session["links"]?.elements.map(Self.link) ?? []
        let events = session["history"]?.elements.map(Self.event) ?? []
        text =
            ([TextTable(fields).text]
            + (links.isEmpty ? ["no links"] : ["links", TextTable(links, indent: 2).text])
            + (events.isEmpty ? [] : ["lately", TextTable(events, indent: 2).text])).joined(separator: "\n") + "\n"
    }

    private static func link(_ link: JSONValue) -> [String] {
        func field(_ name: String) -> String { link[name]?.plainText ?? "-" }
        let security = field("security") + (link["resumed"] == .bool(true) ? ", resumed" : "")
        let source = link["source"].map(\.plainText) ?? "-"
        return [
            field("state"), field("transport"), security, field("local"), "to", field("remote"),
            "RTT \(field("rtt_ms")) ms", source == "-" ? "" : "by --source \(source)",
        ]
    }

    private static func event(_ event: JSONValue) -> [String] {
        func detail(_ name: String, _ prefix: String = "", _ suffix: String = "") -> String? {
            event[name].map { prefix + $0.plainText + suffix }
        }
        let count = event["count"]?.plainText ?? "1"
        let details = [
            detail("error") ?? detail("reason"), detail("after_ms", "after ", " ms"),
            count == "1" ? nil : "\(count) times",
        ]
        return [
            detail("at") ?? "-", detail("event") ?? "-", details.compactMap { $0 }.joined(separator: ", "),
        ]
    }
}

extension JSONValue {
    /// Of a session: where its peer is, and what is known of who that is.
    fileprivate var peer: String {
        let client = self["client"].map { $0 == .null ? "" : " (\($0.plainText))" } ?? ""
        return (self["peer"]?.plainText ?? "-") + client
    }
}

/// Cells in columns.
struct TextTable {
    let text: String

    /// - Parameter rows: all with the same number of cells.
    init(_ rows: [[String]], indent: Int = 0) {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        text = rows.map { row in
            var line = String(repeating: " ", count: indent)
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            return String(line.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }
}
