import CLinux
import Kernel
public import SystemPackage

/// A part of a document that a program writes: what is between a line that names it and a line that ends it.
public struct DocumentSection: Sendable {
    private static let end = "<!-- end -->\n"

    /// The document.
    public let path: String
    private let begin: String

    /// - Parameters:
    ///   - maker: the command that writes it.
    ///   - name: which of the maker's sections.
    public init(of path: String, madeBy maker: String, _ name: String) {
        self.path = path
        begin = "<!-- made by `\(maker)`: \(name) -->\n"
    }

    /// The document as it is, and as it would be with this text in the section; nil without such a section.
    public func replaced(by text: String) throws(Errno) -> (before: String, after: String)? {
        let document = String(decoding: try FileContent.read(path, limit: 1 << 20), as: UTF8.self)
        guard let start = document.firstRange(of: begin),
            let rest = document[start.upperBound...].firstRange(of: Self.end)
        else { return nil }
        return (document, document[..<start.upperBound] + text + document[rest.lowerBound...])
    }

    /// Writes the text into the section.
    public func write(_ text: String) throws(Errno) {
        guard let (_, made) = try replaced(by: text) else { throw .noSuchFileOrDirectory }
        try Self.write(made, to: path)
    }

    /// Makes a file of this text, or replaces one that is there.
    public static func write(_ text: String, to path: String) throws(Errno) {
        let file = Descriptor(owning: try check(usl_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)))
        let number = file.number
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = try retrying { bytes.withUnsafeBytes { CLinux.write(number, $0.baseAddress, $0.count) } }
            bytes = bytes.dropFirst(count)
        }
    }
}
