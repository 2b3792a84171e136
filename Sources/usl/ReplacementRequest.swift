import CLinux
import Interception
import Keeper
import Kernel
import SystemPackage

/// Asks a running agent or gateway to go on as this binary.
enum ReplacementRequest {
    /// How long the other may take to start.
    private static let patience = Duration.seconds(10)

    enum Failure: Error, CustomStringConvertible {
        case notThere(RuntimeDirectory.Role)
        case several(RuntimeDirectory.Role, [pid_t])
        case otherLedger
        case noAnswer(RuntimeDirectory.Role, pid_t)
        case system(Errno)

        var description: String {
            switch self {
            case .notThere(let role): "there is no such \(role.rawValue) of this user; see usl status"
            case .several(let role, let all):
                "several \(role.rawValue)s run here: \(all.map(String.init).joined(separator: ", ")); choose one by --pid"
            case .otherLedger:
                """
                the running one notes its sessions in another way than this binary (version \(Ledger.version)); it goes on \
                as before. End it to start this one
                """
            case .noAnswer(let role, let process):
                "\(role.rawValue) \(process) did not become this binary; see what it says on its standard error"
            case .system(let error): error.description
            }
        }
    }

    /// - Parameters:
    ///   - process: whose it is; nil: the only one there is.
    ///   - arguments: what it is started with; none: what it was started with before.
    static func send(to role: RuntimeDirectory.Role, process: pid_t?, arguments: [[UInt8]]) throws {
        let all = try RuntimeDirectory(environment: variable).entries().filter { $0.role == role }
        let found = process.map { wanted in all.filter { $0.process == wanted } } ?? all
        guard let entry = found.first else { throw Failure.notThere(role) }
        guard found.count == 1 else { throw Failure.several(role, found.map(\.process)) }
        guard let executable = ProcessFiles.executable(of: getpid()), let directory = ProcessFiles.directory() else {
            throw Failure.system(.noSuchFileOrDirectory)
        }
        let replacement = Replacement(
            executable: executable, directory: arguments.isEmpty ? [] : directory, arguments: arguments)
        let deadline = ContinuousClock.now + patience
        do throws(Errno) {
            try ask(entry, replacement, until: deadline)
        } catch .protocolNotSupported {
            throw Failure.otherLedger
        } catch {
            throw Failure.system(error)
        }
        // It answers when the new worker serves.
        while ContinuousClock.now < deadline {
            if ProcessFiles.isSameProgram(entry.process, arguments),
                let sessions = ControlClient.ask(.status, of: entry)?["sessions"]?.elements
            {
                let count = sessions.count == 1 ? "1 session" : "\(sessions.count) sessions"
                print("\(role.rawValue) \(entry.process) goes on as this binary, with \(count)")
                return
            }
            usleep(10_000)
        }
        throw Failure.noAnswer(role, entry.process)
    }

    /// Comes back when the worker that was asked is gone.
    private static func ask(
        _ entry: RuntimeDirectory.Entry, _ replacement: Replacement, until deadline: ContinuousClock.Instant
    ) throws(Errno) {
        let connection = try ControlConnection(path: entry.path)
        let file = try replacement.file()
        try connection.request(.replace(ledgerVersion: Ledger.version), passing: file.number)
        var bytes = [UInt8](repeating: 0, count: ControlMessage.size)
        var entry = pollfd(fd: connection.descriptor.number, events: Int16(POLLIN), revents: 0)
        let left = max(.zero, deadline - .now).components
        guard try retrying({ poll(&entry, 1, Int32(left.seconds) * 1000) }) > 0 else { throw .timedOut }
        guard recv(connection.descriptor.number, &bytes, bytes.count, Int32(MSG_WAITALL)) == bytes.count else { return }
        if case .refused(let code)? = ControlResponse(bytes.span) { throw Errno(rawValue: code) }
    }
}

/// What /proc says of processes (proc(5)).
enum ProcessFiles {
    static func executable(of process: pid_t) -> [UInt8]? { link("/proc/\(process)/exe") }

    /// This process's working directory.
    static func directory() -> [UInt8]? { link("/proc/self/cwd") }

    static func arguments(of process: pid_t) -> [[UInt8]]? {
        guard let number = try? check(usl_open("/proc/\(process)/cmdline", O_RDONLY | O_CLOEXEC, 0)) else { return nil }
        let file = Descriptor(owning: number)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while let count = try? retrying({ read(file.number, &chunk, chunk.count) }), count > 0 {
            bytes += chunk[..<count]
        }
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().map { Array($0) }
    }

    /// Whether a process runs the same file as this one, with these arguments if there are any.
    static func isSameProgram(_ process: pid_t, _ arguments: [[UInt8]]) -> Bool {
        var (own, other) = (stat(), stat())
        guard stat("/proc/self/exe", &own) == 0, stat("/proc/\(process)/exe", &other) == 0,
            own.st_ino == other.st_ino, own.st_dev == other.st_dev
        else { return false }
        return arguments.isEmpty || self.arguments(of: process) == arguments
    }

    private static func link(_ path: String) -> [UInt8]? {
        var room = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = room.withUnsafeMutableBytes {
            readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count > 0 ? Array(room[..<count]) : nil
    }
}
