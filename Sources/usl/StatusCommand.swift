import ArgumentParser
import CLinux
import Kernel

/// `usl status`
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the sessions of all agents and gateways of this user.",
        discussion: """
            With an ID, or as many of its first digits as tell it from others, that session with its links and what has \
            happened to it lately.

            Examples:
              usl status
              usl status --watch
              usl status 5338484d
              usl status --json
            """)

    /// How often a watched status is asked for.
    private static let period = Duration.seconds(1)

    @Argument(help: "One session, by the first digits of its identifier.")
    var id: String?

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "Show it again whenever it has changed, until interrupted.")
    var watch = false

    func run() throws {
        guard watch else { return print(try text(), terminator: "") }
        let isTerminal = isatty(STDOUT_FILENO) == 1
        var last: String?
        repeat {
            let text = try text()
            if text != last {
                // Home, the text, and nothing of what was below it: no flicker.
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false).joined(
                    separator: "\u{1b}[K\n")
                print(isTerminal ? "\u{1b}[H\(lines)\u{1b}[J" : text, terminator: "")
                fflush(nil)
                last = text
            }
        } while isWanted()
    }

    /// What is to be printed, each line ended.
    private func text() throws -> String {
        let finder = try SessionFinder()
        if let id {
            let sessions = try finder.detail(of: id).map { session in
                ControlClient.ask(.session(session.name), of: session.entry)?["sessions"]?.elements.first
                    ?? session.value
            }
            if json { return JSONValue.object([.init(name: "sessions", value: .array(sessions))]).text + "\n" }
            return sessions.map { SessionDetail($0).text }.joined(separator: "\n")
        }
        let sessions = finder.all.map(\.value)
        let strangers = finder.gateways.map { StrangerStatus(process: $0.process, $0.value) }
        if json {
            let gateways = JSONValue.array(strangers.map(\.json))
            return JSONValue.object([
                .init(name: "sessions", value: .array(sessions)), .init(name: "gateways", value: gateways),
            ]).text + "\n"
        }
        return (sessions.isEmpty ? "" : SessionTable(sessions).text + "\n")
            + strangers.compactMap(\.line).map { $0 + "\n" }.joined()
    }

    /// Waits until it is time to ask again; false once nobody reads any more.
    private func isWanted() -> Bool {
        var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return poll(&output, 1, Int32(Self.period.components.seconds * 1000)) == 0
    }
}
