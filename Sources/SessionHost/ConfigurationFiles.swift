import CLinux
import Kernel
public import Policy
import SystemPackage

/// Where `usl.toml` is: the machine's, the user's, and one that was named.
public struct ConfigurationFiles: Sendable {
    /// A file that is there and cannot be read, or was named and is not there.
    public struct Unreadable: Error, Equatable, CustomStringConvertible {
        let path: String
        let code: Errno
        public var description: String { "cannot read \(path): \(code)" }
    }

    /// What a file says.
    struct Text: Equatable {
        let path: String
        let bytes: [UInt8]
    }

    /// In the order in which they are applied.
    private var standard: [String]
    private var named: String?
    /// Of a pipe (`<(…)`), which can be read only once.
    private var once: Text?

    /// - Parameters:
    ///   - environment: finds the value of a variable. `XDG_CONFIG_HOME` counts, else `.config` in `HOME`; a relative path is
    ///     invalid there, and ignored (XDG Base Directory Specification).
    ///   - named: the file of `--policy`.
    public init(environment: (String) -> String?, named: String? = nil) throws(Unreadable) {
        let home = environment("HOME").map { $0 + "/.config" }
        let user = environment("XDG_CONFIG_HOME").flatMap { $0.hasPrefix("/") ? $0 : nil } ?? home
        standard = ["/etc", user].compactMap(\.self).map { $0 + "/usl/usl.toml" }
        guard let named else { return }
        var status = stat()
        if stat(named, &status) == 0, status.st_mode & mode_t(S_IFMT) != mode_t(S_IFREG) {
            once = try Self.read(named, mayBeMissing: false)
        } else {
            self.named = named.hasPrefix("/") ? named : (currentDirectory() ?? ".") + "/" + named
        }
    }

    /// Those that may change.
    var paths: [String] { standard + [named].compactMap(\.self) }

    /// What they say together.
    ///
    /// - Throws: ``Unreadable`` or `ConfigurationError`.
    public func load() throws -> Configuration { try Self.parse(try read()) }

    func read() throws(Unreadable) -> [Text] {
        var texts: [Text] = []
        for path in standard {
            if let text = try Self.read(path, mayBeMissing: true) { texts.append(text) }
        }
        if let named, let text = try Self.read(named, mayBeMissing: false) { texts.append(text) }
        return texts + [once].compactMap(\.self)
    }

    static func parse(_ texts: [Text]) throws(ConfigurationError) -> Configuration {
        var configuration = Configuration()
        for text in texts { try configuration.apply(text.bytes, file: text.path) }
        return configuration
    }

    private static func read(_ path: String, mayBeMissing: Bool) throws(Unreadable) -> Text? {
        do throws(Errno) {
            return Text(path: path, bytes: try FileContent.read(path, limit: TOMLParser.maximumSize))
        } catch  where mayBeMissing && (error == .noSuchFileOrDirectory || error == .notDirectory) {
            return nil
        } catch {
            throw Unreadable(path: path, code: error)
        }
    }
}

private func currentDirectory() -> String? {
    guard let path = getcwd(nil, 0) else { return nil }
    defer { free(path) }
    return String(cString: path)
}
