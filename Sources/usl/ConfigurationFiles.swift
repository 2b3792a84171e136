import Kernel
import Policy
import SystemPackage

/// Finds and reads `usl.toml`: the machine's, the user's, and one that was named.
enum ConfigurationFiles {
    /// A file that is there and cannot be read, or was named and is not there.
    struct Unreadable: Error, CustomStringConvertible {
        let path: String
        let code: Errno
        var description: String { "cannot read \(path): \(code)" }
    }

    /// What they say together; later ones override earlier ones.
    ///
    /// - Parameter named: the file of `--policy`.
    static func load(named: String?) throws -> Configuration {
        var configuration = Configuration()
        for path in standardPaths {
            if let text = try read(path, mayBeMissing: true) { try configuration.apply(text, file: path) }
        }
        if let named, let text = try read(named, mayBeMissing: false) { try configuration.apply(text, file: named) }
        return configuration
    }

    /// `/etc/usl/usl.toml`, then `$XDG_CONFIG_HOME/usl/usl.toml`, by default below `~/.config` (XDG Base Directory
    /// Specification, by which a relative path is invalid and to be ignored).
    private static var standardPaths: [String] {
        let home = variable("HOME").map { $0 + "/.config" }
        let user = variable("XDG_CONFIG_HOME").flatMap { $0.hasPrefix("/") ? $0 : nil } ?? home
        return ["/etc", user].compactMap { $0 }.map { $0 + "/usl/usl.toml" }
    }

    private static func read(_ path: String, mayBeMissing: Bool) throws -> [UInt8]? {
        do throws(Errno) {
            return try FileContent.read(path, limit: TOMLParser.maximumSize)
        } catch  where mayBeMissing && (error == .noSuchFileOrDirectory || error == .notDirectory) {
            return nil
        } catch {
            throw Unreadable(path: path, code: error)
        }
    }
}
