/// Reads a TOML document, version 1.0.0, the whole grammar and nothing beyond it.
///
/// Our own, since the libraries that there are need Foundation, which would double the command, and tell no lines of keys,
/// without which a mistake in a configuration cannot be shown to its author.
public struct TOMLParser {
    /// Bounds on what a document may make this process do: bytes of text, and tables or arrays in one another.
    public static let maximumSize = 1 << 20
    static let maximumDepth = 64

    /// Bytes of the document, valid UTF-8.
    let text: [UInt8]
    var position = 0
    private(set) var line = 1
    private var sections = 0

    public static func parse(_ text: [UInt8]) throws(TOMLError) -> TOMLTable {
        guard text.count <= maximumSize else {
            throw TOMLError(line: 1, text: "the file is larger than \(maximumSize >> 20) MiB")
        }
        if let line = lineOfInvalidText(text) { throw TOMLError(line: line, text: "this is no UTF-8 text") }
        var parser = TOMLParser(text: text)
        return try parser.document()
    }

    private init(text: [UInt8]) { self.text = text }

    private static func lineOfInvalidText(_ text: [UInt8]) -> Int? {
        if String(validating: text, as: UTF8.self) != nil { return nil }
        // A line feed is never part of another character.
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
    }

    // MARK: - Lines

    private mutating func document() throws(TOMLError) -> TOMLTable {
        let root = TOMLTable(.header)
        var current = root
        var section = newSection()
        while true {
            skipBlanks()
            switch peek {
            case nil: return root
            case UInt8(ascii: "#"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): break
            case UInt8(ascii: "["):
                current = try header(in: root)
                section = newSection()
            default: try assignment(in: current, section, depth: 0)
            }
            try endOfLine()
        }
    }

    mutating func newSection() -> Int {
        sections += 1
        return sections
    }

    /// `[a.b]` or `[[a.b]]`, and the table that it opens.
    private mutating func header(in root: TOMLTable) throws(TOMLError) -> TOMLTable {
        position += 1
        let isArray = take("[")
        let path = try key()
        guard take("]"), !isArray || take("]") else {
            throw failure("expected '\(isArray ? "]]" : "]")' behind the name of the table")
        }
        var table = root
        for part in path.dropLast() { table = try step(into: part, of: table, orMake: .implied) }
        let last = path[path.count - 1]
        let name = Array(last.name.utf8)
        let new = TOMLTable(.header)
        if isArray, table.append(new, to: name, line: last.line) { return new }
        guard let entry = table.entry(name) else {
            let element = TOMLValue(content: .table(new), line: last.line)
            let value = isArray ? TOMLValue(content: .array([element]), line: last.line) : element
            table.add(last, value, isArrayOfTables: isArray)
            return new
        }
        if !isArray, case .table(let known) = entry.value.content, known.origin == .implied {
            known.origin = .header
            return known
        }
        throw TOMLError(line: last.line, text: "'\(last.name)' is there already, in line \(entry.key.line)")
    }

    /// `a.b = value`
    mutating func assignment(in table: TOMLTable, _ section: Int, depth: Int) throws(TOMLError) {
        let path = try key()
        guard take("=") else { throw failure("expected '=' behind '\(path[path.count - 1].name)'") }
        skipBlanks()
        let value = try value(depth: depth)
        var table = table
        for part in path.dropLast() {
            table = try step(into: part, of: table, orMake: .dotted(section: section))
            guard table.origin == .implied || table.origin == .dotted(section: section) else {
                throw TOMLError(line: part.line, text: "the table '\(part.name)' is defined elsewhere already")
            }
            table.origin = .dotted(section: section)
        }
        let last = path[path.count - 1]
        if let entry = table.entry(Array(last.name.utf8)) {
            throw TOMLError(line: last.line, text: "'\(last.name)' is there already, in line \(entry.key.line)")
        }
        table.add(last, value)
    }

    private func step(into part: TOMLKey, of table: TOMLTable, orMake origin: TOMLTable.Origin) throws(TOMLError)
        -> TOMLTable
    {
        guard let entry = table.entry(Array(part.name.utf8)) else {
            let new = TOMLTable(origin)
            table.add(part, TOMLValue(content: .table(new), line: part.line))
            return new
        }
        switch entry.value.content {
        case .table(let known) where known.origin != .inline: return known
        case .array(let elements) where entry.isArrayOfTables:
            if case .table(let known)? = elements.last?.content { return known }
        default: break
        }
        throw TOMLError(
            line: part.line, text: "'\(part.name)' is complete since line \(entry.key.line), and cannot be added to")
    }

    /// A key of one or several parts, with the blanks around it.
    private mutating func key() throws(TOMLError) -> [TOMLKey] {
        var parts: [TOMLKey] = []
        repeat {
            skipBlanks()
            let line = line
            parts.append(TOMLKey(name: try keyPart(), line: line))
            guard parts.count <= Self.maximumDepth else { throw failure("this key has too many parts") }
            skipBlanks()
        } while take(".")
        return parts
    }

    private mutating func keyPart() throws(TOMLError) -> String {
        switch peek {
        case UInt8(ascii: "\""): return try basicString()
        case UInt8(ascii: "'"): return try literalString()
        default:
            let start = position
            while let byte = peek, isBareKey(byte) { position += 1 }
            guard position > start else { throw failure("expected a key") }
            return string(text[start..<position])
        }
    }

    private func isBareKey(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    // MARK: - Values

    mutating func value(depth: Int) throws(TOMLError) -> TOMLValue {
        guard depth < Self.maximumDepth else { throw failure("values are nested too deep") }
        let line = line
        let content: TOMLValue.Content
        switch peek {
        case UInt8(ascii: "\""):
            content = .string(isNext("\"\"\"") ? try multilineBasicString() : try basicString())
        case UInt8(ascii: "'"): content = .string(isNext("'''") ? try multilineLiteralString() : try literalString())
        case UInt8(ascii: "["): content = .array(try array(depth: depth))
        case UInt8(ascii: "{"): content = .table(try inlineTable(depth: depth))
        default: content = try scalar()
        }
        return TOMLValue(content: content, line: line)
    }

    private mutating func array(depth: Int) throws(TOMLError) -> [TOMLValue] {
        position += 1
        var elements: [TOMLValue] = []
        while true {
            try skipLines()
            if take("]") { return elements }
            elements.append(try value(depth: depth + 1))
            try skipLines()
            if take("]") { return elements }
            guard take(",") else { throw failure("expected ',' or ']' behind an element of an array") }
        }
    }

    private mutating func inlineTable(depth: Int) throws(TOMLError) -> TOMLTable {
        position += 1
        let table = TOMLTable(.inline)
        let section = newSection()
        skipBlanks()
        if take("}") { return table }
        while true {
            try assignment(in: table, section, depth: depth + 1)
            skipBlanks()
            if take("}") { return table }
            guard take(",") else { throw failure("expected ',' or '}' in the table in braces, which ends in its line") }
        }
    }

    // MARK: - Bytes

    var peek: UInt8? { position < text.count ? text[position] : nil }

    func isNext(_ word: StaticString) -> Bool {
        let end = position + word.utf8CodeUnitCount
        guard end <= text.count else { return false }
        return word.withUTF8Buffer { text[position..<end].elementsEqual($0) }
    }

    mutating func take(_ word: StaticString) -> Bool {
        guard isNext(word) else { return false }
        position += word.utf8CodeUnitCount
        return true
    }

    mutating func skipBlanks() {
        while let byte = peek, byte == 0x20 || byte == 0x09 { position += 1 }
    }

    /// A line feed, also behind a carriage return.
    mutating func takeNewline() -> Bool {
        guard take("\n") || take("\r\n") else { return false }
        line += 1
        return true
    }

    private mutating func skipComment() throws(TOMLError) {
        guard take("#") else { return }
        while let byte = peek, !isNext("\n"), !isNext("\r\n") {
            guard isText(byte) else { throw failure("a comment has a control character") }
            position += 1
        }
    }

    /// Blanks, comments and line ends, as between the elements of an array.
    private mutating func skipLines() throws(TOMLError) {
        repeat {
            skipBlanks()
            try skipComment()
        } while takeNewline()
    }

    private mutating func endOfLine() throws(TOMLError) {
        skipBlanks()
        try skipComment()
        guard peek == nil || takeNewline() else { throw failure("there is more in this line than belongs there") }
    }

    /// No control character, save for the tab.
    func isText(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7f || byte == 0x09 }

    func string(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    func failure(_ text: String) -> TOMLError { TOMLError(line: line, text: text) }
}
