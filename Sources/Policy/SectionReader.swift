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

    /// A value of this name, if there is one.
    mutating func value<Reader: ValueReader>(
        _ name: String, in range: ClosedRange<Reader.Value>, _: Reader.Type, take: (Reader.Value) -> Void
    ) {
        known.append(name)
        guard let value = table[name] else { return }
        guard let read = Reader.read(value.content) else {
            return note(value.line, "'\(prefix)\(name)' must be \(Reader.expectation), not \(Self.shown(value))")
        }
        guard range.contains(read) else {
            let (least, most) = (Reader.text(range.lowerBound), Reader.text(range.upperBound))
            return note(value.line, "'\(prefix)\(name)' must be between \(least) and \(most)")
        }
        take(read)
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
    associatedtype Value: Comparable
    /// For messages: what stands behind "must be".
    static var expectation: String { get }
    static func read(_ content: TOMLValue.Content) -> Value?
    static func text(_ value: Value) -> String
}
