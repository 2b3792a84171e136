import Glibc
import NetworkLab

/// Writes a line to the standard output at once.
func show(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
}

/// Waits until a time of `labNow`.
func rest(until time: UInt64) {
    let now = labNow()
    guard time > now else { return }
    var left = timespec(tv_sec: Int((time - now) / 1_000_000_000), tv_nsec: Int((time - now) % 1_000_000_000))
    nanosleep(&left, nil)
}

/// Text in a column: at its right end, or at its left.
func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
    let spaces = String(repeating: " ", count: max(0, width - text.count))
    return left ? text + spaces : spaces + text
}

/// The one in the middle; of none, there is none.
func median<Value: Comparable>(_ values: [Value]) -> Value { values.sorted()[values.count / 2] }

/// For people; fewer digits where there are many.
func milliseconds(_ nanoseconds: Int) -> String {
    let hundredths = nanoseconds / 10_000
    return hundredths >= 10_000
        ? "\(hundredths / 100) ms" : "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10) ms"
}
