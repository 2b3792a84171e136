// Numbers, booleans, dates and times: words without quotes.

extension TOMLParser {
    mutating func scalar() throws(TOMLError) -> TOMLValue.Content {
        let start = position
        skipWord()
        let isDate = Self.isDate(text[start..<position])
        // A blank may stand between a date and a time.
        if isDate, position + 1 < text.count, text[position] == 0x20, isDigit(text[position + 1], radix: 10) {
            position += 1
            skipWord()
        }
        let word = string(text[start..<position])
        switch word {
        case "": throw failure("expected a value")
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default: break
        }
        if isDate || Self.isTime(word.utf8.prefix(5)) {
            guard DateTimeGrammar(word).isValid else { throw failure("'\(word)' is no date or time") }
            return .dateTime(word)
        }
        if let content = integer(word) ?? float(word) { return content }
        throw failure(
            word.utf8.allSatisfy { isDigit($0, radix: 10) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
                ? "'\(word)' is no number that fits" : "'\(word)' is no value; a text stands in quotes")
    }

    /// Over what may be part of a number, a date or a name.
    private mutating func skipWord() {
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."), UInt8(ascii: ":"), 0x80...:
                position += 1
            default: return
            }
        }
    }

    func isDigit(_ byte: UInt8, radix: Int) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0")) < radix
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): radix == 16
        default: false
        }
    }

    // MARK: - Numbers

    private func integer(_ word: String) -> TOMLValue.Content? {
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where word.hasPrefix(prefix) {
            return digits(word.utf8.dropFirst(2), radix: radix).flatMap { Int64($0, radix: radix) }.map { .integer($0) }
        }
        let (sign, rest) = signed(word.utf8[...])
        guard let digits = digits(rest, radix: 10), digits == "0" || !digits.hasPrefix("0") else { return nil }
        return Int64(sign + digits).map { .integer($0) }
    }

    private func float(_ word: String) -> TOMLValue.Content? {
        let (sign, rest) = signed(word.utf8[...])
        switch string(rest) {
        case "inf": return .float(sign == "-" ? -.infinity : .infinity)
        case "nan": return .float(.nan)
        default: break
        }
        let parts = rest.split(omittingEmptySubsequences: false) { $0 | 0x20 == UInt8(ascii: "e") }
        let decimals = (parts.first ?? rest).split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count <= 2, decimals.count <= 2, parts.count + decimals.count > 2,
            let whole = digits(decimals[0], radix: 10), whole == "0" || !whole.hasPrefix("0")
        else { return nil }
        var result = sign + whole
        if decimals.count == 2 {
            guard let fraction = digits(decimals[1], radix: 10) else { return nil }
            result += "." + fraction
        }
        if parts.count == 2 {
            let (sign, rest) = signed(parts[1])
            guard let exponent = digits(rest, radix: 10) else { return nil }
            result += "e" + sign + exponent
        }
        return Double(result).map { .float($0) }
    }

    private func signed(_ word: Substring.UTF8View) -> (String, Substring.UTF8View) {
        switch word.first {
        case UInt8(ascii: "-"): ("-", word.dropFirst())
        case UInt8(ascii: "+"): ("", word.dropFirst())
        default: ("", word)
        }
    }

    /// Digits without the underscores between them; nil if there is none, or anything else.
    private func digits(_ word: Substring.UTF8View, radix: Int) -> String? {
        let groups = word.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
        guard groups.allSatisfy({ !$0.isEmpty && $0.allSatisfy { isDigit($0, radix: radix) } }) else { return nil }
        return string(groups.joined())
    }

    // MARK: - Dates and times

    /// `2026-01-31` and perhaps more.
    private static func isDate(_ word: some Collection<UInt8>) -> Bool {
        word.count >= 10 && DateTimeGrammar.fits(word.prefix(5), "0000-")
    }

    private static func isTime(_ word: some Collection<UInt8>) -> Bool { DateTimeGrammar.fits(word, "00:00") }
}

/// The grammar of dates and times (RFC 3339), and the ranges of their numbers.
struct DateTimeGrammar {
    private var rest: ArraySlice<UInt8>

    init(_ word: String) { rest = Array(word.utf8)[...] }

    /// Whether bytes are like a pattern, in which 0 stands for any digit.
    static func fits(_ bytes: some Collection<UInt8>, _ pattern: String) -> Bool {
        bytes.count == pattern.utf8.count
            && zip(bytes, pattern.utf8).allSatisfy { byte, sample in
                sample == UInt8(ascii: "0") ? (0x30...0x39).contains(byte) : byte == sample
            }
    }

    /// A date with a time and perhaps an offset, a date alone, or a time alone.
    var isValid: Bool {
        var copy = self
        if Self.fits(copy.rest.prefix(10), "0000-00-00") {
            guard copy.takesDate() else { return false }
            if copy.rest.isEmpty { return true }
            guard [UInt8(ascii: "T"), UInt8(ascii: "t"), 0x20].contains(copy.rest.removeFirst()), copy.takesTime()
            else {
                return false
            }
            return copy.takesOffset() && copy.rest.isEmpty
        }
        return copy.takesTime() && copy.rest.isEmpty
    }

    private mutating func number(_ count: Int) -> Int {
        defer { rest.removeFirst(count) }
        return rest.prefix(count).reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }

    private mutating func takesDate() -> Bool {
        let year = number(4)
        rest.removeFirst()
        let month = number(2)
        rest.removeFirst()
        let day = number(2)
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...12).contains(month) && (1...days[max(0, min(month, 12) - 1)]).contains(day)
    }

    private mutating func takesTime() -> Bool {
        guard Self.fits(rest.prefix(8), "00:00:00") else { return false }
        let hour = number(2)
        rest.removeFirst()
        let minute = number(2)
        rest.removeFirst()
        // 60 is a leap second.
        guard hour < 24, minute < 60, number(2) <= 60 else { return false }
        guard rest.first == UInt8(ascii: ".") else { return true }
        rest.removeFirst()
        let fraction = rest.prefix { (0x30...0x39).contains($0) }
        rest.removeFirst(fraction.count)
        return !fraction.isEmpty
    }

    private mutating func takesOffset() -> Bool {
        switch rest.first {
        case nil: return true
        case UInt8(ascii: "Z"), UInt8(ascii: "z"):
            rest.removeFirst()
            return true
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            guard Self.fits(rest.dropFirst().prefix(5), "00:00") else { return false }
            rest.removeFirst()
            let hour = number(2)
            rest.removeFirst()
            return hour < 24 && number(2) < 60
        default: return false
        }
    }
}
