/// Divides the words after `usl` into what is USL's and what is the command's.
///
/// ArgumentParser cannot: it would take options of the command for its own, and a program called `status` for a
/// subcommand. The command's words stay bytes, since neither file names nor arguments need be UTF-8.
struct CommandLineSplitter {
    enum Parts: Equatable {
        /// Words of a subcommand other than `run`, its name first; or of no command at all, as in `usl --help`.
        case subcommand([String])
        /// Options of `run`, and the command, which may be missing.
        case run(options: [String], command: [[UInt8]])
    }

    struct Failure: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    let subcommands: Set<String>
    /// Options of `run` that take the next word as their value.
    let valueOptions: Set<String>
    /// Options of `run` that stand alone.
    let flags: Set<String>

    func split(_ words: [[UInt8]]) throws(Failure) -> Parts {
        var rest = words[...]
        var isRun = false
        var options: [String] = []
        while let word = rest.first {
            let text = String(decoding: word, as: UTF8.self)
            if text == "--" {
                return .run(options: options, command: Array(rest.dropFirst()))
            } else if text.hasPrefix("-") {
                rest.removeFirst()
                options.append(text)
                if valueOptions.contains(text) {
                    guard let value = rest.popFirst() else { throw Failure(description: "\(text) needs a value") }
                    options.append(String(decoding: value, as: UTF8.self))
                } else if !flags.contains(text), !isAssignment(text) {
                    throw Failure(description: "unknown option '\(text)'")
                }
            } else if !isRun, subcommands.contains(text) {
                guard options.isEmpty else {
                    throw Failure(
                        description: "'\(options[0])' is an option of 'run' and cannot stand before '\(text)'; "
                            + "a program of that name is run by: usl \(options.joined(separator: " ")) -- \(text)")
                }
                guard text == "run" else {
                    return .subcommand(rest.map { String(decoding: $0, as: UTF8.self) })
                }
                isRun = true
                rest.removeFirst()
            } else {
                return .run(options: options, command: Array(rest))
            }
        }
        // `usl --help` is about USL, `usl run --help` about running.
        let isAboutUSL = !isRun && options.contains { ["-h", "--help", "--version"].contains($0) }
        return isAboutUSL ? .subcommand(options) : .run(options: options, command: [])
    }

    /// Whether a word is `--option=value`.
    private func isAssignment(_ text: String) -> Bool {
        guard let equals = text.firstIndex(of: "=") else { return false }
        return valueOptions.contains(String(text[..<equals]))
    }
}
