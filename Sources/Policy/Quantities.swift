/// A duration as people write it: a whole number and a unit, `250ms`, `30s`, `15m`, `24h` or `7d`.
public enum DurationText: QuantityReader {
    static var expectation: String { "a duration, such as \"250ms\", \"30s\", \"15m\", \"24h\" or \"7d\"" }

    private static let units: [(name: String, milliseconds: Int64)] = [
        ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]

    /// nil if it is none, or one that no clock can count.
    public static func parse(_ text: String) -> Duration? {
        Quantity.parse(text, units.map { ($0.name, Int($0.milliseconds)) }).map { .milliseconds($0) }
    }

    /// In the largest unit that has no fraction; whole milliseconds.
    public static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds > 0, let unit = units.first(where: { milliseconds % $0.milliseconds == 0 }) else {
            return "0s"
        }
        return "\(milliseconds / unit.milliseconds)\(unit.name)"
    }

    static func read(_ content: TOMLValue.Content) -> Duration? {
        if case .string(let text) = content { parse(text) } else { nil }
    }
}

/// A number of bytes as people write it: `64KiB`, `16MiB`, `2GiB`, or a plain number.
public enum SizeText: QuantityReader {
    static var expectation: String { "a size, such as \"64KiB\", \"16MiB\" or \"2GiB\"" }

    private static let units: [(name: String, bytes: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1),
    ]

    /// nil if it is none, or too large to be counted.
    public static func parse(_ text: String) -> Int? { Quantity.parse(text, units.map { ($0.name, $0.bytes) }) }

    /// In the largest unit that has no fraction.
    public static func text(_ bytes: Int) -> String {
        guard bytes > 0, let unit = units.first(where: { bytes % $0.bytes == 0 }) else { return "0B" }
        return "\(bytes / unit.bytes)\(unit.name)"
    }

    static func read(_ content: TOMLValue.Content) -> Int? {
        switch content {
        case .string(let text): parse(text)
        case .integer(let number): number >= 0 ? Int(number) : nil
        default: nil
        }
    }
}

/// A whole number.
enum CountText: QuantityReader {
    static var expectation: String { "a whole number" }
    static func read(_ content: TOMLValue.Content) -> Int? {
        if case .integer(let number) = content { Int(number) } else { nil }
    }
    static func text(_ value: Int) -> String { "\(value)" }
}

/// A whole number and a unit without anything between them.
private enum Quantity {
    static func parse(_ text: String, _ units: [(name: String, factor: Int)]) -> Int? {
        let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
        let name = text.utf8.dropFirst(digits.count)
        guard let unit = units.first(where: { $0.name.utf8.elementsEqual(name) }),
            let count = Int(String(decoding: digits, as: UTF8.self))
        else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit.factor)
        return overflow ? nil : product
    }
}
