public import CLinux
public import SystemPackage

/// A child process that was started by `spawn`, and the pidfd through which it is watched and signalled without any
/// danger that its number meanwhile belongs to another process.
///
/// The owner should `wait`: a child that nobody waited for stays a zombie until its parent ends.
public struct ChildProcess: ~Copyable, Sendable {
    public let pid: pid_t
    /// Readable, for poll(2), once the child has ended (pidfd_open(2)). Closed on exec.
    public let pidfd: Descriptor

    /// A child of this process that was started by the program which it ran before.
    public init(adopting pid: pid_t, pidfd: consuming Descriptor) {
        self.init(pid: pid, pidfd: pidfd)
    }

    private init(pid: pid_t, pidfd: consuming Descriptor) {
        self.pid = pid
        self.pidfd = pidfd
    }

    /// The process group that a child starts in.
    public enum ProcessGroup: Sendable {
        /// Its parent's.
        case inherited
        /// A new one, which it leads.
        case own
        /// An existing one of the same session.
        case joined(pid_t)
    }

    /// What a child gets that its parent has not, or not so.
    public struct Attributes: Sendable {
        /// `NAME=VALUE` each; nil: the parent's environment.
        public var environment: [String]?
        public var workingDirectory: String?
        /// Descriptors that the child gets under the given numbers, placed in this order (dup2(2)). A descriptor that
        /// is listed under its own number is passed on although it is closed on exec.
        public var descriptors: [(source: Int32, target: Int32)] = []
        public var processGroup = ProcessGroup.inherited
        /// Signals that start out blocked. None by default, and not what the calling thread has blocked: threads of a
        /// pool block everything, and a child that inherited that could not be interrupted.
        public var signalMask = SignalSet()
        /// Signals that the child handles by default, even where its parent ignores them.
        public var defaultSignals = SignalSet()

        public init() {}
    }

    /// Starts a program. It is looked for as execvp(3) does: in `PATH` unless its name has a slash, and what the kernel
    /// cannot execute is given to `/bin/sh`.
    ///
    /// - Parameter arguments: the program's name first; bytes, since arguments and file names need not be UTF-8.
    /// - Throws: what execvp(3) reports, `noSuchFileOrDirectory` for a program that is not to be found.
    public static func spawn(
        _ arguments: [[UInt8]], _ attributes: borrowing Attributes = Attributes()
    ) throws(Errno) -> ChildProcess {
        guard let name = arguments.first, !name.isEmpty else { throw .noSuchFileOrDirectory }
        if name.contains(UInt8(ascii: "/")) { return try startOrInterpret(name, arguments, attributes) }
        var failure = Errno.noSuchFileOrDirectory
        for directory in searchPath() {
            do {
                return try startOrInterpret(directory + name, arguments, attributes)
            } catch .permissionDenied {
                // Another directory may have one that may be executed.
                failure = .permissionDenied
            } catch .noSuchFileOrDirectory {
            } catch .notDirectory {
            }
        }
        throw failure
    }

    /// Starts a program with the given descriptors as its standard input, output and error (nil: the parent's).
    public static func spawn(
        _ arguments: [String], environment: [String]? = nil, workingDirectory: String? = nil,
        standardInput: Int32? = nil, standardOutput: Int32? = nil, standardError: Int32? = nil,
        processGroup: ProcessGroup = .inherited
    ) throws(Errno) -> ChildProcess {
        var attributes = Attributes()
        attributes.environment = environment
        attributes.workingDirectory = workingDirectory
        attributes.processGroup = processGroup
        for (source, target) in [(standardInput, 0), (standardOutput, 1), (standardError, 2)] {
            if let source { attributes.descriptors.append((source, Int32(target))) }
        }
        return try spawn(arguments.map { Array($0.utf8) }, attributes)
    }

    /// Waits until the child has ended, and removes it from the process table. To be called once.
    @discardableResult
    public borrowing func wait() throws(Errno) -> Termination {
        var status: Int32 = 0
        let pid = self.pid
        repeat {
            try retrying { waitpid(pid, &status, 0) }
        } while Termination(waitStatus: status) == nil
        return Termination(waitStatus: status)!
    }

    /// Waits as `wait` does, but not longer than `milliseconds`.
    ///
    /// - Returns: nil if the child is still running by then.
    public borrowing func wait(milliseconds: Int32) throws(Errno) -> Termination? {
        var entry = pollfd(fd: pidfd.number, events: Int16(POLLIN), revents: 0)
        return try retrying { poll(&entry, 1, milliseconds) } == 0 ? nil : try wait()
    }

    /// Sends a signal; `noSuchProcess` if the child has ended and was waited for.
    public borrowing func send(signal: Int32) throws(Errno) {
        try check(usl_pidfd_send_signal(pidfd.number, signal))
    }
}

// MARK: - posix_spawn

extension ChildProcess {
    /// The directories of `PATH`, each with a slash at its end.
    public static func searchPath() -> [[UInt8]] {
        let path = getenv("PATH").map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
        return (path ?? Array("/bin:/usr/bin".utf8))
            .split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            .map { ($0.isEmpty ? Array(".".utf8) : Array($0)) + [UInt8(ascii: "/")] }
    }

    /// Starts the file, with the shell if the kernel does not know what it is.
    private static func startOrInterpret(
        _ path: [UInt8], _ arguments: [[UInt8]], _ attributes: borrowing Attributes
    ) throws(Errno) -> ChildProcess {
        do {
            return try start(path, arguments, attributes)
        } catch .execFormatError {
            let shell = Array("/bin/sh".utf8)
            return try start(shell, [shell, path] + arguments.dropFirst(), attributes)
        }
    }

    private static func start(
        _ path: [UInt8], _ arguments: [[UInt8]], _ attributes: borrowing Attributes
    ) throws(Errno) -> ChildProcess {
        var spawnAttributes = posix_spawnattr_t()
        var actions = posix_spawn_file_actions_t()
        posix_spawnattr_init(&spawnAttributes)
        posix_spawn_file_actions_init(&actions)
        defer {
            posix_spawnattr_destroy(&spawnAttributes)
            posix_spawn_file_actions_destroy(&actions)
        }
        var mask = attributes.signalMask.value
        var defaults = attributes.defaultSignals.value
        posix_spawnattr_setsigmask(&spawnAttributes, &mask)
        posix_spawnattr_setsigdefault(&spawnAttributes, &defaults)
        var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        switch attributes.processGroup {
        case .inherited: break
        case .own:
            posix_spawnattr_setpgroup(&spawnAttributes, 0)
            flags |= POSIX_SPAWN_SETPGROUP
        case .joined(let group):
            posix_spawnattr_setpgroup(&spawnAttributes, group)
            flags |= POSIX_SPAWN_SETPGROUP
        }
        posix_spawnattr_setflags(&spawnAttributes, Int16(flags))
        for (source, target) in attributes.descriptors {
            posix_spawn_file_actions_adddup2(&actions, source, target)
        }
        if let directory = attributes.workingDirectory {
            posix_spawn_file_actions_addchdir_np(&actions, directory)
        }

        var pid: pid_t = 0
        // Returns errno instead of setting it.
        let code = withCStrings(arguments) { arguments in
            path.withCString { path in
                guard let environment = attributes.environment else {
                    return posix_spawn(&pid, path, &actions, &spawnAttributes, arguments, usl_environ())
                }
                return withCStrings(environment.map { Array($0.utf8) }) {
                    posix_spawn(&pid, path, &actions, &spawnAttributes, arguments, $0)
                }
            }
        }
        guard code == 0 else { throw Errno(rawValue: code) }
        do {
            return ChildProcess(pid: pid, pidfd: Descriptor(owning: try check(usl_pidfd_open(pid))))
        } catch {
            // Out of descriptors: a child that could not be watched must not run on.
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            throw error
        }
    }
}

/// Makes this process run another program, with its environment and the descriptors that are not closed on exec
/// (execve(2)). Comes back only with what prevented it.
public func execute(_ path: [UInt8], _ arguments: [[UInt8]]) -> Errno {
    withCStrings(arguments) { arguments in
        path.withCString { _ = execv($0, arguments) }
    }
    return Errno(rawValue: usl_errno())
}

/// The same, looking for the program as execvp(3) does.
func executeInPath(_ arguments: [[UInt8]]) -> Errno {
    guard let name = arguments.first, !name.isEmpty else { return .noSuchFileOrDirectory }
    withCStrings(arguments) { arguments in
        name.withCString { _ = execvp($0, arguments) }
    }
    return Errno(rawValue: usl_errno())
}

extension [UInt8] {
    /// Calls `body` with these bytes and a NUL after them.
    fileprivate func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (self + [0]).withUnsafeBufferPointer {
            $0.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) }
        }
    }
}

/// Calls `body` with a NULL-terminated array of C strings, as execve(2) takes it.
private func withCStrings<Result>(
    _ strings: [[UInt8]], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    let copies = strings.map { $0.withCString { strdup($0) } } + [nil]
    defer { for copy in copies { free(copy) } }
    return copies.withUnsafeBufferPointer { body($0.baseAddress!) }
}
