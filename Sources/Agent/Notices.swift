import Kernel

/// Lines for the person at the terminal, each about something that they can act on.
struct Notices {
    /// Texts remembered; some have what a gateway says in them, which must not fill memory.
    static let memory = 1024

    let verbosity: AgentOptions.Verbosity
    private var said: Set<String> = []

    init(_ verbosity: AgentOptions.Verbosity) { self.verbosity = verbosity }

    /// Something is wrong, or not as asked for. Each text once, however many connections it concerns.
    mutating func warn(_ text: String) {
        guard verbosity > .quiet, said.insert(text).inserted else { return }
        if said.count > Notices.memory { said = [text] }
        Diagnostics.report(text)
    }

    /// Something that people must know, also those who want no other lines.
    mutating func alarm(_ text: String) {
        if verbosity > .quiet { return warn(text) }
        if said.insert(text).inserted { Diagnostics.report(text) }
    }

    /// For `-v` alone.
    func explain(_ text: @autoclosure () -> String) {
        if verbosity == .verbose { Diagnostics.report(text()) }
    }
}
