// The four kinds of strings.

extension TOMLParser {
    mutating func basicString() throws(TOMLError) -> String {
        position += 1
        var bytes: [UInt8] = []
        while let byte = peek {
            if take("\"") { return string(bytes) }
            if byte == UInt8(ascii: "\\") {
                try appendEscape(to: &bytes)
            } else {
                guard isText(byte) else { break }
                bytes.append(byte)
                position += 1
            }
        }
        throw failure("a string in quotes does not end in its line")
    }

    mutating func literalString() throws(TOMLError) -> String {
        position += 1
        let start = position
        while let byte = peek {
            if take("'") { return string(text[start..<position - 1]) }
            guard isText(byte) else { break }
            position += 1
        }
        throw failure("a string in single quotes does not end in its line")
    }

    mutating func multilineBasicString() throws(TOMLError) -> String {
        let start = line
        position += 3
        _ = takeNewline()
        var bytes: [UInt8] = []
        while let byte = peek {
            if takeEnd("\"\"\"", quote: UInt8(ascii: "\""), &bytes) { return string(bytes) }
            let before = position
            if takeNewline() {
                bytes += text[before..<position]
            } else if byte == UInt8(ascii: "\\") {
                if try !skipLineEnd() { try appendEscape(to: &bytes) }
            } else {
                guard isText(byte) else { throw failure("a string has a control character") }
                bytes.append(byte)
                position += 1
            }
        }
        throw TOMLError(line: start, text: "the string that begins here does not end")
    }

    mutating func multilineLiteralString() throws(TOMLError) -> String {
        let start = line
        position += 3
        _ = takeNewline()
        var bytes: [UInt8] = []
        while let byte = peek {
            if takeEnd("'''", quote: UInt8(ascii: "'"), &bytes) { return string(bytes) }
            let before = position
            if takeNewline() {
                bytes += text[before..<position]
            } else {
                guard isText(byte) else { throw failure("a string has a control character") }
                bytes.append(byte)
                position += 1
            }
        }
        throw TOMLError(line: start, text: "the string that begins here does not end")
    }

    /// The end of a multi-line string. One or two quotes before the last three belong to the text.
    private mutating func takeEnd(_ end: StaticString, quote: UInt8, _ bytes: inout [UInt8]) -> Bool {
        guard isNext(end) else { return false }
        var count = 3
        while count < 5, position + count < text.count, text[position + count] == quote { count += 1 }
        bytes += Array(repeating: quote, count: count - 3)
        position += count
        return true
    }

    /// A backslash as the last character of a line: it and all white space up to the next text are not there.
    private mutating func skipLineEnd() throws(TOMLError) -> Bool {
        let before = position
        position += 1
        skipBlanks()
        guard takeNewline() else {
            position = before
            return false
        }
        repeat { skipBlanks() } while takeNewline()
        return true
    }

    private mutating func appendEscape(to bytes: inout [UInt8]) throws(TOMLError) {
        position += 1
        let escape = peek
        position += 1
        switch escape {
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "n"): bytes.append(0x0a)
        case UInt8(ascii: "f"): bytes.append(0x0c)
        case UInt8(ascii: "r"): bytes.append(0x0d)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(text[position - 1])
        case UInt8(ascii: "u"): try appendScalar(digits: 4, to: &bytes)
        case UInt8(ascii: "U"): try appendScalar(digits: 8, to: &bytes)
        default: throw failure(#"a string has an escape that TOML does not know; a backslash is written '\\'"#)
        }
    }

    private mutating func appendScalar(digits count: Int, to bytes: inout [UInt8]) throws(TOMLError) {
        let digits = text[position..<min(position + count, text.count)]
        guard digits.count == count, digits.allSatisfy({ isDigit($0, radix: 16) }),
            let number = UInt32(string(digits), radix: 16), let scalar = Unicode.Scalar(number)
        else { throw failure("a string has an escape that is no Unicode character") }
        position += count
        bytes += Array(String(Character(scalar)).utf8)
    }
}
