import CLinux

/// A line for whoever waits, on the standard error.
func note(_ line: String) {
    let bytes = Array(("bench: " + line + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

func rest(milliseconds: Int) {
    var left = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
    nanosleep(&left, nil)
}
