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

    /// Lets go of standard error, for a process that outlives those who might read it: a shell that reads a pipe waits
    /// until nobody can write to it any more.
    public static func detach() {
        let null = usl_open("/dev/null", O_RDWR | O_CLOEXEC, 0)
        guard null >= 0 else { return }
        _ = dup3(null, STDERR_FILENO, O_CLOEXEC)
        _ = close(null)
    }
}
