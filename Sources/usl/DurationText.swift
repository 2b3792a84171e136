/// A duration as people write it: a whole number and a unit, `250ms`, `30s`, `15m`, `24h` or `7d`.
enum DurationText {
    struct Failure: Error, CustomStringConvertible {
        let text: String
        var description: String { "'\(text)' is no duration; write it as 250ms, 30s, 15m, 24h or 7d" }
    }

    static func parse(_ text: String) throws -> Duration {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let milliseconds: Int64
        switch text.dropFirst(digits.count) {
        case "ms": milliseconds = 1
        case "s": milliseconds = 1000
        case "m": milliseconds = 60_000
        case "h": milliseconds = 3_600_000
        case "d": milliseconds = 86_400_000
        default: throw Failure(text: text)
        }
        guard let count = Int64(digits) else { throw Failure(text: text) }
        let (product, overflow) = count.multipliedReportingOverflow(by: milliseconds)
        guard !overflow else { throw Failure(text: text) }
        return .milliseconds(product)
    }
}
