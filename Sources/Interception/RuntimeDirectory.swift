public import CLinux
import Kernel
public import SystemPackage

/// The directory of this user's control sockets.
public struct RuntimeDirectory: Sendable {
    public enum Role: String, Sendable {
        case agent, gateway
    }

    /// A control socket and the process that made it.
    public struct Entry: Equatable, Sendable {
        public let role: Role
        public let process: pid_t
        public let path: String
    }

    public let path: String

    /// `$XDG_RUNTIME_DIR/usl`, else `/run/usl` for root, else `usl-UID` in the temporary directory; made if missing.
    ///
    /// - Parameter environment: looks a variable up, as getenv(3) does.
    public init(environment: (String) -> String?) throws(RuntimeDirectoryError) {
        // Relative paths are invalid and to be ignored (XDG Base Directory Specification).
        func directory(_ variable: String) -> String? {
            environment(variable).flatMap { $0.hasPrefix("/") ? $0 : nil }
        }
        if let runtime = directory("XDG_RUNTIME_DIR") {
            try self.init(path: runtime + "/usl")
        } else if geteuid() == 0 {
            try self.init(path: "/run/usl")
        } else {
            try self.init(path: (directory("TMPDIR") ?? "/tmp") + "/usl-\(geteuid())")
        }
    }

    /// Uses `path`, made if missing. It must be a real directory of this user that no one else can enter: in a shared
    /// directory anyone could have put something else there.
    init(path: String) throws(RuntimeDirectoryError) {
        if mkdir(path, 0o700) != 0, usl_errno() != EEXIST {
            throw RuntimeDirectoryError(path: path, problem: .unavailable(Errno(rawValue: usl_errno())))
        }
        // One descriptor for all questions, and O_NOFOLLOW: what is checked is what was found.
        let number = usl_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
        guard number >= 0 else {
            // With both flags, a symbolic link gives ENOTDIR, as a plain file does.
            let code = Errno(rawValue: usl_errno())
            let isOther = code == .notDirectory || code == .tooManySymbolicLinkLevels
            throw RuntimeDirectoryError(path: path, problem: isOther ? .notADirectory : .unavailable(code))
        }
        let directory = Descriptor(owning: number)
        var status = stat()
        guard fstat(directory.number, &status) == 0 else {
            throw RuntimeDirectoryError(path: path, problem: .unavailable(Errno(rawValue: usl_errno())))
        }
        guard status.st_uid == geteuid() else {
            throw RuntimeDirectoryError(path: path, problem: .owner(status.st_uid))
        }
        guard status.st_mode & 0o077 == 0 else {
            throw RuntimeDirectoryError(path: path, problem: .mode(status.st_mode & 0o7777))
        }
        self.path = path
    }

    /// Where the control socket of that process belongs.
    public func socketPath(role: Role, process: pid_t) -> String { "\(path)/\(role.rawValue)-\(process).sock" }

    /// The control sockets of all living agents and gateways, by process number. Those of dead ones are removed.
    public func entries() throws(RuntimeDirectoryError) -> [Entry] {
        guard let listing = opendir(path) else {
            throw RuntimeDirectoryError(path: path, problem: .unavailable(Errno(rawValue: usl_errno())))
        }
        defer { closedir(listing) }
        var entries: [Entry] = []
        while let found = readdir(listing) {
            let name = withUnsafePointer(to: &found.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            guard let entry = entry(named: name) else { continue }
            if isDead(entry) { unlink(entry.path) } else { entries.append(entry) }
        }
        return entries.sorted { ($0.process, $0.role.rawValue) < ($1.process, $1.role.rawValue) }
    }

    private func entry(named name: String) -> Entry? {
        let suffix = ".sock"
        guard name.hasSuffix(suffix) else { return nil }
        let parts = name.dropLast(suffix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let role = Role(rawValue: String(parts[0])), let process = pid_t(parts[1]),
            process > 0
        else { return nil }
        return Entry(role: role, process: process, path: "\(path)/\(name)")
    }

    /// Both must hold: while an agent restarts, nobody listens; and a number may have gone to another process.
    private func isDead(_ entry: Entry) -> Bool {
        guard kill(entry.process, 0) != 0, usl_errno() == ESRCH else { return false }
        return !ControlListener.isAlive(path: entry.path)
    }
}

/// A runtime directory that cannot be trusted or used.
public struct RuntimeDirectoryError: Error, CustomStringConvertible, Sendable {
    public enum Problem: Equatable, Sendable {
        case notADirectory
        case owner(uid_t)
        case mode(mode_t)
        case unavailable(Errno)
    }

    public let path: String
    public let problem: Problem

    public var description: String {
        switch problem {
        case .notADirectory: "\(path) is not a directory, or a symbolic link to one; remove it"
        case .owner(let user): "\(path) belongs to user \(user), not to user \(geteuid())"
        case .mode(let mode): "\(path) is open to other users (mode \(String(mode, radix: 8))); chmod 700 it"
        case .unavailable(let code): "cannot use \(path): \(code.description)"
        }
    }
}
