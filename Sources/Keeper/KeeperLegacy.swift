import CLinux
import Kernel
import SystemPackage

/// What a keeper leaves to another program that takes its place in the same process: descriptors stay open under their
/// numbers, and a memory file, whose number is in the environment, says what they are.
struct KeeperLegacy: Equatable {
    /// Of the keeper of `usl COMMAND`.
    struct Program: Equatable {
        enum State: UInt8 {
            case running = 1
            case stopped = 2
            case draining = 3
            case lingering = 4
        }

        var pid: pid_t
        var pidfd: Int32
        /// -1 once it has gone.
        var launcher: Int32
        var launcherPidfd: Int32
        var state: State
        var isGivenUp: Bool
        /// Where the program was started.
        var directory: [UInt8]
        /// Of the program's trap, see `SupervisorChannel`; -1 if there is none.
        var supervisor: Int32
    }

    var controlPath: String
    var control: Int32
    var escrow: [Escrow.Item]
    var program: Program?

    private static let variable = "USL_KEEPER"
    private static let version: UInt32 = 2

    // MARK: - Leaving it

    /// Runs the other program. Comes back only when that cannot be done, and then everything is as it was.
    func hand(over replacement: Replacement) -> Errno {
        do throws(Errno) {
            let file = try memoryFile(encoded(), name: "usl-keeper")
            let own = usl_open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
            defer { if own >= 0 { _ = close(own) } }
            let numbers = descriptors + [file.number]
            for number in numbers { try check(usl_fcntl(number, F_SETFD, 0)) }
            setenv(Self.variable, "\(file.number)", 1)
            // The connections of a keeper are nobody's to intercept.
            unsetenv("USL_AGENT")
            let directory = replacement.directory.isEmpty ? program?.directory ?? [] : replacement.directory
            if !directory.isEmpty { _ = (directory + [0]).withUnsafeBytes { chdir($0.baseAddress!) } }
            let arguments = replacement.arguments.isEmpty ? Self.ownArguments : replacement.arguments
            let failure = execute(replacement.executable, arguments)
            for number in numbers { _ = usl_fcntl(number, F_SETFD, FD_CLOEXEC) }
            unsetenv(Self.variable)
            if own >= 0 { _ = fchdir(own) }
            return failure
        } catch {
            return error
        }
    }

    /// The words that this process was started with (proc_pid_cmdline(5)).
    private static var ownArguments: [[UInt8]] {
        guard let number = try? check(usl_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0)) else { return [] }
        let file = Descriptor(owning: number)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while let count = try? retrying({ read(file.number, &chunk, chunk.count) }), count > 0 {
            bytes += chunk[..<count]
        }
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().map { Array($0) }
    }

    private var descriptors: [Int32] {
        let ofProgram = program.map { [$0.pidfd, $0.launcher, $0.launcherPidfd, $0.supervisor] } ?? []
        return [control] + escrow.map(\.descriptor) + ofProgram.filter { $0 >= 0 }
    }

    // MARK: - Taking it over

    /// What another program has left in this process; nil if none has. To be called once, with one thread.
    static func take() -> KeeperLegacy? {
        guard let text = getenv(variable) else { return nil }
        let number = Int32(String(cString: text)) ?? -1
        unsetenv(variable)
        // The keeper's own were closed on exec.
        InheritedDescriptors.reserveStandardNumbers()
        guard number > STDERR_FILENO, usl_fcntl(number, F_SETFD, FD_CLOEXEC) == 0,
            let legacy = KeeperLegacy(contents(of: Descriptor(owning: number)))
        else {
            // Not to be taken for a start: the program runs already.
            Diagnostics.report("cannot go on: what the program before has left in \(variable) makes no sense")
            exit(Launcher.ExitStatus.failed)
        }
        for number in legacy.descriptors { _ = usl_fcntl(number, F_SETFD, FD_CLOEXEC) }
        return legacy
    }

    /// The control socket, which goes on under its path.
    func takeControl(_ environment: [String: String] = [:]) -> ControlSocket {
        ControlSocket(listener: Descriptor(owning: control), path: controlPath, environment: environment)
    }

    func takeEscrow() -> Escrow { Escrow(adopting: escrow) }

    // MARK: - Bytes

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.version)
        writer.write(control)
        writer.write(list: [Array(controlPath.utf8)])
        writer.write(UInt32(escrow.count))
        for item in escrow {
            writer.write(item.key.value)
            writer.write(item.kind.rawValue)
            writer.write(item.descriptor)
        }
        writer.write(UInt8(program == nil ? 0 : 1))
        if let program {
            writer.write(program.pid)
            writer.write(program.pidfd)
            writer.write(program.launcher)
            writer.write(program.launcherPidfd)
            writer.write(program.state.rawValue)
            writer.write(UInt8(program.isGivenUp ? 1 : 0))
            writer.write(list: [program.directory])
            writer.write(program.supervisor)
        }
        return writer.bytes
    }

    /// nil for anything that `encoded` does not make.
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard reader.read(UInt32.self) == Self.version, let control = reader.read(Int32.self),
            let path = reader.readList()?.first, let count = reader.read(UInt32.self)
        else { return nil }
        self.control = control
        controlPath = String(decoding: path, as: UTF8.self)
        escrow = []
        for _ in 0..<count {
            guard let key = reader.read(UInt64.self),
                let kind = reader.read(UInt8.self).flatMap(EscrowKind.init(rawValue:)),
                let descriptor = reader.read(Int32.self)
            else { return nil }
            escrow.append(Escrow.Item(key: EscrowKey(key), kind: kind, descriptor: descriptor))
        }
        guard let hasProgram = reader.read(UInt8.self) else { return nil }
        if hasProgram != 0 {
            guard let pid = reader.read(pid_t.self), let pidfd = reader.read(Int32.self),
                let launcher = reader.read(Int32.self), let launcherPidfd = reader.read(Int32.self),
                let state = reader.read(UInt8.self).flatMap(Program.State.init(rawValue:)),
                let isGivenUp = reader.read(UInt8.self), let directory = reader.readList()?.first,
                let supervisor = reader.read(Int32.self)
            else { return nil }
            program = Program(
                pid: pid, pidfd: pidfd, launcher: launcher, launcherPidfd: launcherPidfd, state: state,
                isGivenUp: isGivenUp != 0, directory: directory, supervisor: supervisor)
        }
        guard reader.isAtEnd else { return nil }
    }

    init(controlPath: String, control: Int32, escrow: [Escrow.Item], program: Program?) {
        self.controlPath = controlPath
        self.control = control
        self.escrow = escrow
        self.program = program
    }
}
