import ArgumentParser
import CLinux
import Interception
import Keeper
import Kernel

/// `usl status`
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the sessions of all agents and gateways of this user.",
        discussion: """
            Examples:
              usl status
              usl status --json
            """)

    /// How long an agent may take to answer; one that is stopped or hangs must not hide the others.
    private static let patience = Duration.seconds(2)

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let deadline = ContinuousClock.now + Self.patience
        var sessions: [JSONValue] = []
        for entry in try RuntimeDirectory(environment: variable).entries() {
            guard let answer = ask(entry, until: deadline) else {
                Diagnostics.report("\(entry.role.rawValue) \(entry.process) does not answer")
                continue
            }
            sessions += answer["sessions"]?.elements ?? []
        }
        if json {
            print(JSONValue.object([.init(name: "sessions", value: .array(sessions))]).text)
        } else if !sessions.isEmpty {
            print(SessionTable(sessions).text)
        }
    }

    private func ask(_ entry: RuntimeDirectory.Entry, until deadline: ContinuousClock.Instant) -> JSONValue? {
        guard let connection = try? ControlConnection(path: entry.path), (try? connection.requestStatus()) != nil
        else { return nil }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let left = max(.zero, deadline - .now).components
            let milliseconds = Int32(left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000)
            var entry = pollfd(fd: connection.descriptor.number, events: Int16(POLLIN), revents: 0)
            guard let ready = try? retrying({ poll(&entry, 1, milliseconds) }), ready > 0,
                let count = try? retrying({ read(connection.descriptor.number, &chunk, chunk.count) })
            else { return nil }
            if count == 0 { return JSONValue(text) }
            text += chunk[..<count]
        }
    }
}

/// Sessions as a table for people.
struct SessionTable {
    private static let titles = [
        "ID", "ROLE", "PROGRAM", "DESTINATION", "PEER", "STATE", "SINCE", "SENT", "RECEIVED", "LINKS", "RECONNECTS",
        "REASON",
    ]

    private let rows: [[String]]

    init(_ sessions: [JSONValue]) { rows = [Self.titles] + sessions.map(Self.row) }

    private static func row(_ session: JSONValue) -> [String] {
        func field(_ name: String) -> String { session[name]?.plainText ?? "-" }
        func bytes(_ name: String) -> String { session["bytes"]?[name]?.plainText ?? "-" }
        // Eight digits tell sessions apart, as with commits.
        return [
            String(field("id").prefix(8)), field("role"), field("program"), field("destination"), field("peer"),
            field("state"), field("since"), bytes("sent"), bytes("received"),
            "\(session["links"]?.elements.count ?? 0)", field("reconnects"), field("reason"),
        ]
    }

    /// One line a row, columns aligned.
    var text: String {
        let widths = Self.titles.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            return String(line.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }
}
