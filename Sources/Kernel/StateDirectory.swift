import CLinux
public import SystemPackage

/// Where USL keeps what outlives its processes.
public struct StateDirectory: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// `/var/lib/usl` for root, else `$XDG_STATE_HOME/usl`, by default `~/.local/state/usl` (XDG Base Directory
    /// Specification, by which a relative path is to be ignored).
    ///
    /// - Parameter environment: looks a variable up, as getenv(3) does.
    public init(environment: (String) -> String?) {
        if geteuid() == 0 {
            path = "/var/lib/usl"
        } else if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") {
            path = state + "/usl"
        } else {
            path = (environment("HOME") ?? "") + "/.local/state/usl"
        }
    }

    /// The path of a file in it.
    public func file(_ name: String) -> String { path + "/" + name }

    /// Makes it and what is missing above it, for this user alone.
    public func make() throws(Errno) {
        var prefix = ""
        for part in path.split(separator: "/") {
            prefix += (path.hasPrefix("/") || !prefix.isEmpty ? "/" : "") + part
            do throws(Errno) {
                try check(mkdir(prefix, 0o700))
            } catch .fileExists {
                continue
            }
        }
    }

    /// Makes a file with its whole content, for this user alone; of several processes that do so at once, one succeeds. The
    /// directory is made if it is missing.
    ///
    /// - Returns: false if the file was there already, which is then left as it is.
    public func create(_ name: String, _ content: RawSpan) throws(Errno) -> Bool {
        try make()
        let temporary = try writeTemporary(name, content)
        defer { unlink(temporary) }
        do throws(Errno) {
            // Unlike rename(2), it fails if another one was first.
            try check(link(temporary, file(name)))
        } catch .fileExists {
            return false
        }
        try sync()
        return true
    }

    /// Puts a file in place of the one that may be there: whoever reads finds the old content or the new one, whole.
    ///
    /// - Parameter isDurable: whether it waits for the disk, so that this holds for a crash of the machine too.
    public func replace(_ name: String, _ content: RawSpan, isDurable: Bool = true) throws(Errno) {
        let temporary = try writeTemporary(name, content, isDurable: isDurable)
        do throws(Errno) {
            try check(rename(temporary, file(name)))
        } catch {
            unlink(temporary)
            throw error
        }
        if isDurable { try sync() }
    }

    /// A complete file beside the one that is meant; on the disk, if it is to be durable.
    private func writeTemporary(_ name: String, _ content: RawSpan, isDurable: Bool = true) throws(Errno) -> String {
        let temporary = file(name) + ".\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
        let descriptor = Descriptor(
            owning: try check(usl_open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)))
        do throws(Errno) {
            var written = 0
            while written < content.byteCount {
                written += try content.withUnsafeBytes { (bytes) throws(Errno) in
                    try retrying {
                        write(descriptor.number, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                    }
                }
            }
            if isDurable { try check(fsync(descriptor.number)) }
        } catch {
            unlink(temporary)
            throw error
        }
        return temporary
    }

    /// Keeps the names, as fsync(2) of a file does not.
    private func sync() throws(Errno) {
        let directory = Descriptor(owning: try check(usl_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)))
        try check(fsync(directory.number))
    }
}
