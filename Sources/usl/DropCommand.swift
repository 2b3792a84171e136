import ArgumentParser
import Kernel

/// `usl drop`
struct DropCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop",
        abstract: "Give a session up: the programs at both ends see their connections reset.",
        discussion: """
            If both ends are on this machine, both are told. An end elsewhere hears of it over the session's link, or when \
            it next makes one.

            Examples:
              usl drop 5338484d
            """)

    @Argument(help: "The session, by the first digits of its identifier.")
    var id: String

    func run() throws {
        let ends = try SessionFinder().detail(of: id)
        let dropped = ends.filter {
            ControlClient.ask(.drop($0.name), of: $0.entry)?["sessions"]?.elements.isEmpty == false
        }
        guard let first = dropped.first else { throw SessionFinder.Failure.ended(id) }
        print("dropped \(first.hex)")
    }
}
