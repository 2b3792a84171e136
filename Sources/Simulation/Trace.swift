import SessionProtocol

/// The last events of a run, in words; kept only when a run is repeated for its finding.
struct Trace {
    static let length = 40

    let isOn: Bool
    var now = Instant(nanoseconds: 0)
    private(set) var lines: [String] = []

    init(isOn: Bool) { self.isOn = isOn }

    mutating func note(_ text: @autoclosure () -> String) {
        guard isOn else { return }
        if lines.count == Trace.length { lines.removeFirst() }
        lines.append("\(Trace.padded(now.nanoseconds / 1_000)) µs  \(text())")
    }

    private static func padded(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: " ", count: max(0, 12 - digits.count)) + digits
    }
}
