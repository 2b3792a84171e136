import ArgumentParser
import Kernel

/// The option of commands that keep something.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where identity and pins are kept, and what else outlives processes; /var/lib/usl for root, else "
                + "~/.local/state/usl.",
            valueName: "directory"))
    var state: String?

    var directory: StateDirectory {
        state.map { StateDirectory(path: $0) } ?? StateDirectory(environment: variable)
    }
}
