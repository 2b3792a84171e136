public import Transport

/// A gateway's key, as it was when it was first met or when somebody vouched for it.
public struct Pin: Equatable, Sendable {
    /// HOST:PORT as the user wrote it, and never an address that it stands for.
    public let name: String
    public let fingerprint: Fingerprint
    /// When it was pinned, for people. Nothing expires.
    public let date: String
}

/// What a key that a gateway shows is to this end.
public enum PinVerdict: Equatable, Sendable {
    /// It is the pinned one.
    case known
    /// Nothing is pinned under that name.
    case new
    /// Another one is pinned.
    case changed(old: Fingerprint)
    /// There is a line for that name, but it cannot be read. Never the same as none.
    case unclear(FileMistake)
}

/// What a file of pins says: a line `NAME FINGERPRINT DATE` for each, empty lines, and comments behind `#`.
public struct Pins: Equatable, Sendable {
    /// In the order of the file.
    public private(set) var pins: [Pin] = []
    /// Lines that are none. The others are good all the same.
    public private(set) var mistakes: [FileMistake] = []
    /// Names of such lines.
    private var unclear: [String: FileMistake] = [:]

    init(_ text: [UInt8], file: String) {
        for (index, bytes) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let words = Self.words(bytes)
            guard let name = words.first else { continue }
            func mistake(_ text: String) {
                let mistake = FileMistake(file: file, line: index + 1, text: text)
                mistakes.append(mistake)
                if !pins.contains(where: { $0.name == name }) { unclear[name] = mistake }
            }
            if words.count != 3 {
                mistake("not NAME FINGERPRINT DATE")
            } else if pins.contains(where: { $0.name == name }) || unclear[name] != nil {
                mistake("another line for \(name); the first one counts")
            } else if let fingerprint = Fingerprint(words[1]) {
                pins.append(Pin(name: name, fingerprint: fingerprint, date: words[2]))
            } else {
                mistake("'\(words[1])' is no fingerprint; it is SHA256: and 43 characters")
            }
        }
    }

    /// A line for that name which cannot be read: nobody knows then which key is the right one.
    public func mistake(about name: String) -> FileMistake? { unclear[name] }

    public func verdict(on fingerprint: Fingerprint, of name: String) -> PinVerdict {
        if let pin = pins.first(where: { $0.name == name }) {
            return pin.fingerprint == fingerprint ? .known : .changed(old: pin.fingerprint)
        }
        return unclear[name].map { .unclear($0) } ?? .new
    }

    /// Words of a line, none of a comment.
    static func words(_ line: some Sequence<UInt8>) -> [String] {
        let words = String(decoding: Array(line), as: UTF8.self)
            .split { $0 == " " || $0 == "\t" || $0 == "\r" }.map(String.init)
        return words.first?.hasPrefix("#") == true ? [] : words
    }
}
