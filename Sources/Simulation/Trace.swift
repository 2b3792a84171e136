import SessionProtocol

/// The last events of a run, in words; kept only when a run is repeated for its finding.
struct Trace {
    /// How many of them are kept.
    let length: Int
    var now = Instant(nanoseconds: 0)
    private(set) var lines: [String] = []

    init(length: Int) { self.length = length }

    mutating func note(_ text: @autoclosure () -> String) {
        guard length > 0 else { return }
        if lines.count == length { lines.removeFirst() }
        lines.append("\(Trace.padded(now.nanoseconds / 1_000)) µs  \(text())")
    }

    private static func padded(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: " ", count: max(0, 12 - digits.count)) + digits
    }
}
