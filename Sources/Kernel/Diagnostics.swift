import CLinux

/// One-line messages for people, on standard error.
public enum Diagnostics {
    /// Writes `usl: TEXT` and a newline in one system call, so that lines of several processes do not mix. Nothing is
    /// buffered, which forks could write twice.
    public static func report(_ text: String) {
        let line = "usl: \(text)\n"
        // Standard error may be closed or full: there is no better place to say so.
        _ = write(STDERR_FILENO, line, line.utf8.count)
    }
}
