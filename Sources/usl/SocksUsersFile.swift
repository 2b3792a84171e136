import CLinux
import Interception
import Kernel
import SystemPackage

/// The file of `--socks-users`.
enum SocksUsersFile {
    /// Some 10,000 users.
    private static let maximumSize = 1 << 20
    /// Everybody else may neither read nor write it, and its group may not write it (inode(7)).
    private static let forbiddenMode: mode_t = 0o027

    static func read(_ path: String) throws -> ProxyUsers {
        let text = try text(path)
        do throws(ProxyUsers.Mistake) {
            return try ProxyUsers(text)
        } catch {
            throw ArgumentFailure(description: "\(path): \(error)")
        }
    }

    private static func text(_ path: String) throws -> [UInt8] {
        var (status, text) = (stat(), [UInt8]())
        do throws(Errno) {
            let file = Descriptor(owning: try check(usl_open(path, O_RDONLY | O_CLOEXEC, 0)))
            try check(fstat(file.number, &status))
            text = try FileContent.read(file, limit: maximumSize)
        } catch {
            throw ArgumentFailure(description: "cannot read \(path): \(error)")
        }
        guard status.st_mode & forbiddenMode == 0 else {
            throw ArgumentFailure(
                description: "others can read or write \(path): chmod 600 \(path), and change the passwords")
        }
        guard text.count <= maximumSize else { throw ArgumentFailure(description: "\(path) is longer than 1 MiB") }
        return text
    }
}
