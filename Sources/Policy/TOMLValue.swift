/// A value of a TOML document, and the line where it begins, counted from 1.
public struct TOMLValue {
    public enum Content {
        case string(String)
        case integer(Int64)
        case float(Double)
        case boolean(Bool)
        /// A date, a time of day or both, as it is written: checked, and of no further use here.
        case dateTime(String)
        case array([TOMLValue])
        case table(TOMLTable)
    }

    public internal(set) var content: Content
    public let line: Int

    /// For messages: `a string`, `a table`.
    public var kind: String {
        switch content {
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a float"
        case .boolean: "a boolean"
        case .dateTime: "a date or time"
        case .array: "an array"
        case .table: "a table"
        }
    }
}

/// What is wrong with the text of a document, and where.
public struct TOMLError: Error, Equatable {
    public let line: Int
    public let text: String

    /// Control characters, which a string may have by its escapes, are left out of what a terminal shows.
    init(line: Int, text: String) {
        self.line = line
        self.text = text.printable
    }
}

extension String {
    /// The text on one line, and harmless to a terminal.
    var printable: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }
}

/// A table of a TOML document: names and values in the order of the text.
///
/// A class, since a document is put together in any order: `[a.b]`, `[c]`, `[a]`.
public final class TOMLTable {
    public struct Entry {
        public let key: TOMLKey
        public internal(set) var value: TOMLValue
        /// An array that is written `[[name]]`: it grows with each further header.
        var isArrayOfTables = false
    }

    /// How a table came to be, which says who may still add to it.
    enum Origin: Equatable {
        /// On the way to another: `a` of `[a.b]`. A header may still define it.
        case implied
        /// By its own header.
        case header
        /// By dotted keys of one section, which may add more: `a` of `a.b = 1`.
        case dotted(section: Int)
        /// By braces: complete.
        case inline
    }

    public private(set) var entries: [Entry] = []
    /// By the bytes of the name: strings that Unicode holds equal are different keys in TOML.
    private var indices: [[UInt8]: Int] = [:]
    var origin: Origin

    init(_ origin: Origin) { self.origin = origin }

    public subscript(name: String) -> TOMLValue? { entry(Array(name.utf8))?.value }

    func entry(_ name: [UInt8]) -> Entry? { indices[name].map { entries[$0] } }

    func add(_ key: TOMLKey, _ value: TOMLValue, isArrayOfTables: Bool = false) {
        indices[Array(key.name.utf8)] = entries.count
        entries.append(Entry(key: key, value: value, isArrayOfTables: isArrayOfTables))
    }

    /// Adds a table to the array of tables of this name; false if there is none.
    func append(_ table: TOMLTable, to name: [UInt8], line: Int) -> Bool {
        guard let index = indices[name], entries[index].isArrayOfTables,
            case .array(var elements) = entries[index].value.content
        else { return false }
        // The array has one owner again, and grows in place.
        entries[index].value.content = .array([])
        elements.append(TOMLValue(content: .table(table), line: line))
        entries[index].value.content = .array(elements)
        return true
    }
}

/// One part of a key, and its line.
public struct TOMLKey {
    public let name: String
    public let line: Int
}
