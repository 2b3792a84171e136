/// Takes a table apart by the names that it may have, and collects what is wrong.
struct SectionReader {
    private let table: TOMLTable
    private let file: String
    /// For messages: `limits.`, or nothing for the document itself.
    private let prefix: String
    private var known: [String] = []
    private var mistakes: [ConfigurationError.Mistake] = []

    init(_ table: TOMLTable, file: String, prefix: String = "") {
        self.table = table
        self.file = file
        self.prefix = prefix
    }

    /// A table of this name, if there is one.
    mutating func section(_ name: String, read: (inout SectionReader) -> Void) {
        known.append(name)
        guard let value = table[name] else { return }
        guard case .table(let inner) = value.content else {
            return note(value.line, "'\(prefix)\(name)' is a section: [\(prefix)\(name)]; this is \(value.kind)")
        }
        var reader = SectionReader(inner, file: file, prefix: "\(prefix)\(name).")
        read(&reader)
        mistakes += reader.finish()
    }

    /// Tables of this name, each with the line where it begins: `[[name]]`.
    mutating func sections(_ name: String, read: (inout SectionReader, _ line: Int) -> Void) {
        known.append(name)
        guard let value = table[name] else { return }
        guard case .array(let elements) = value.content else {
            return note(
                value.line, "'\(prefix)\(name)' may be there several times: [[\(prefix)\(name)]]; this is \(value.kind)"
            )
        }
        for element in elements {
            guard case .table(let inner) = element.content else {
                note(element.line, "'\(prefix)\(name)' is a section: [[\(prefix)\(name)]]; this is \(element.kind)")
                continue
            }
            var reader = SectionReader(inner, file: file, prefix: "\(prefix)\(name).")
            read(&reader, element.line)
            mistakes += reader.finish()
        }
    }

    /// A value of this name, if there is one.
    mutating func value<Reader: QuantityReader>(
        _ name: String, in range: ClosedRange<Reader.Value>, _: Reader.Type, take: (Reader.Value) -> Void
    ) {
        known.append(name)
        guard let value = table[name], let read = read(value, name, Reader.self) else { return }
        guard range.contains(read) else {
            let (least, most) = (Reader.text(range.lowerBound), Reader.text(range.upperBound))
            return note(value.line, "'\(prefix)\(name)' must be between \(least) and \(most)")
        }
        take(read)
    }

    /// Likewise, one that has no order.
    mutating func value<Reader: ValueReader>(_ name: String, _: Reader.Type, take: (Reader.Value) -> Void) {
        known.append(name)
        if let value = table[name], let read = read(value, name, Reader.self) { take(read) }
    }

    /// A value, or an array of several, none of them twice.
    mutating func values<Reader: ValueReader>(
        _ name: String, atMost limit: Int = 256, _: Reader.Type, take: ([Reader.Value]) -> Void
    ) where Reader.Value: Hashable {
        known.append(name)
        guard let value = table[name] else { return }
        var elements = [value]
        if case .array(let several) = value.content { elements = several }
        guard (1...limit).contains(elements.count) else {
            return note(
                value.line,
                "'\(prefix)\(name)' has \(elements.count) values; there must be at least one, and at most \(limit)")
        }
        var seen: Set<Reader.Value> = []
        let read = elements.compactMap { element in
            let value = self.read(element, name, Reader.self)
            if let value, !seen.insert(value).inserted {
                note(element.line, "'\(prefix)\(name)' has \(Self.shown(element)) twice")
            }
            return value
        }
        take(read)
    }

    /// Notes a mistake that is none of a key's alone, where a key of that name is.
    mutating func note(_ text: String, at name: String) {
        if let line = table.entry(Array(name.utf8))?.key.line { note(line, text) }
    }

    /// Whether there is a value of this name, right or wrong.
    func has(_ name: String) -> Bool { table[name] != nil }

    private mutating func read<Reader: ValueReader>(_ value: TOMLValue, _ name: String, _: Reader.Type) -> Reader.Value?
    {
        if let read = Reader.read(value.content) { return read }
        var hint = ""
        if case .string(let text) = value.content, let meant = Reader.meant(by: text) {
            hint = "; did you mean \"\(meant)\"?"
        }
        note(value.line, "'\(prefix)\(name)' must be \(Reader.expectation), not \(Self.shown(value))\(hint)")
        return nil
    }

    /// What was wrong, unknown names included.
    consuming func finish() -> [ConfigurationError.Mistake] {
        for entry in table.entries where !known.contains(entry.key.name) {
            let hint = Spelling.nearest(to: entry.key.name, among: known).map { "; did you mean '\($0)'?" } ?? ""
            note(entry.key.line, "unknown \(entry.what) '\(prefix)\(entry.key.name)'\(hint)")
        }
        return mistakes.sorted { $0.line < $1.line }
    }

    private mutating func note(_ line: Int, _ text: String) {
        mistakes.append(.init(file: file, line: line, text: text.printable))
    }

    private static func shown(_ value: TOMLValue) -> String {
        switch value.content {
        case .string(let text): "\"\(text)\""
        case .integer(let number): "\(number)"
        default: value.kind
        }
    }
}

extension TOMLTable.Entry {
    fileprivate var what: String {
        if case .table = value.content { "section" } else { isArrayOfTables ? "section" : "key" }
    }
}

/// How a kind of value is written.
protocol ValueReader {
    associatedtype Value
    /// For messages: what stands behind "must be".
    static var expectation: String { get }
    static func read(_ content: TOMLValue.Content) -> Value?
    /// What somebody may have meant by a text that cannot be read.
    static func meant(by text: String) -> String?
}

extension ValueReader {
    static func meant(by text: String) -> String? { nil }
}

/// How a kind of value is written that can be too little or too much.
protocol QuantityReader: ValueReader where Value: Comparable {
    static func text(_ value: Value) -> String
}
