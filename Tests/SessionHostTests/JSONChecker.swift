/// Whether a text is JSON (RFC 8259), and nothing else.
func isJSON(_ text: String) -> Bool {
    var checker = JSONChecker(rest: Array(text.utf8)[...])
    guard checker.value() else { return false }
    checker.skipSpace()
    return checker.rest.isEmpty
}

private struct JSONChecker {
    var rest: ArraySlice<UInt8>

    mutating func skipSpace() { rest = rest.drop { [0x20, 0x09, 0x0a, 0x0d].contains($0) } }

    mutating func value() -> Bool {
        skipSpace()
        switch rest.first {
        case UInt8(ascii: "{"): return list(closedBy: "}") { $0.string() && $0.take(":") && $0.value() }
        case UInt8(ascii: "["): return list(closedBy: "]") { $0.value() }
        case UInt8(ascii: "\""): return string()
        case UInt8(ascii: "n"): return word("null")
        case UInt8(ascii: "t"): return word("true")
        case UInt8(ascii: "f"): return word("false")
        default: return number()
        }
    }

    private mutating func word(_ text: String) -> Bool {
        defer { rest = rest.dropFirst(text.utf8.count) }
        return rest.starts(with: text.utf8)
    }

    private mutating func list(closedBy end: Unicode.Scalar, _ element: (inout JSONChecker) -> Bool) -> Bool {
        rest.removeFirst()
        if take(end) { return true }
        repeat {
            guard element(&self) else { return false }
        } while take(",")
        return take(end)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return true
            case 0..<0x20: return false
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst() else { return false }
                guard escaped == UInt8(ascii: "u") else {
                    guard "\"\\/bfnrt".utf8.contains(escaped) else { return false }
                    continue
                }
                guard rest.prefix(4).count == 4, rest.prefix(4).allSatisfy({ "0123456789abcdef".utf8.contains($0) })
                else { return false }
                rest = rest.dropFirst(4)
            default: continue
            }
        }
        return false
    }

    private mutating func number() -> Bool {
        let digits = rest.prefix { "0123456789.".utf8.contains($0) }
        rest = rest.dropFirst(digits.count)
        return !digits.isEmpty && digits.first != UInt8(ascii: ".") && digits.last != UInt8(ascii: ".")
    }
}
