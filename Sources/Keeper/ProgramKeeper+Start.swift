import CLinux
import Kernel
import SystemPackage

extension ProgramKeeper {
    /// What to run, and how it would run without USL.
    struct Program {
        let arguments: [[UInt8]]
        /// The launcher's process group, which the terminal knows.
        let group: pid_t
        let signalMask: SignalSet
    }

    private struct SpawnFailure: Error {
        let status: UInt8
        let code: Errno
    }

    /// Becomes the keeper; called in the launcher's fork, with every signal blocked.
    static func start(
        _ program: Program, _ launcher: consuming LauncherConnection,
        openControl: () throws -> ControlSocket, isQuiet: Bool, agent: @escaping WorkerBody
    ) -> Never {
        do {
            // Keys on the terminal are for the program's group.
            try check(setpgid(0, 0))
            try check(usl_prctl(PR_SET_CHILD_SUBREAPER, 1))
            // Some parents ignore it, and then nothing could be waited for.
            usl_signal_set_default(SIGCHLD)
            let signals = try SignalDescriptor(SignalSet([SIGCHLD, SIGTERM]))
            let control = try openControl()
            // Before the program, and before its environment: the agent's own connections are nobody's to intercept.
            let agents = try Supervisor(
                escrow: Escrow(), control: control.listener.number, name: "agent", isQuiet: isQuiet,
                body: named(agent))
            let directory = currentDirectory
            let child: ChildProcess
            do throws(SpawnFailure) {
                child = try spawn(program, environment: control.environment)
            } catch {
                unlink(control.path)
                Diagnostics.report("cannot run '\(text(program.arguments[0]))': \(error.code.description)")
                launcher.send(.failed(error.status))
                _exit(0)
            }
            launcher.send(.started(child.pid))
            name("usl-keeper")
            InheritedDescriptors.closeAll()
            _ = chdir("/")
            DescriptorLimit.raise()
            ProgramKeeper(
                program: child, agents: agents, launcher: launcher, signals: signals, control: control,
                directory: directory
            )
            .run()
            _exit(0)
        } catch {
            Diagnostics.report("cannot start: \(error)")
            launcher.send(.failed(UInt8(Launcher.ExitStatus.failed)))
            _exit(0)
        }
    }

    /// Starts the program as its shell would have: in the launcher's process group, with its signal mask, directory and
    /// descriptors. Signals that are ignored stay so, but for `SIGCHLD`.
    private static func spawn(
        _ program: Program, environment: [String: String]
    ) throws(SpawnFailure) -> ChildProcess {
        for (name, value) in environment { setenv(name, value, 1) }
        var attributes = ChildProcess.Attributes()
        attributes.processGroup = .joined(program.group)
        attributes.signalMask = program.signalMask
        do {
            return try ChildProcess.spawn(program.arguments, attributes)
        } catch {
            switch error {
            case .noSuchFileOrDirectory: throw SpawnFailure(status: Launcher.ExitStatus.notFound, code: error)
            case .resourceTemporarilyUnavailable, .noMemory, .tooManyOpenFiles, .tooManyOpenFilesInSystem:
                // Said by fork(2) or pidfd_open(2), not about the program.
                throw SpawnFailure(status: UInt8(Launcher.ExitStatus.failed), code: error)
            default: throw SpawnFailure(status: Launcher.ExitStatus.notExecutable, code: error)
            }
        }
    }

    /// An agent as ps(1) shows it, and out of the user's way.
    static func named(_ agent: @escaping WorkerBody) -> WorkerBody {
        { control, channel, escrow in
            name("usl-agent")
            _ = chdir("/")
            agent(control, channel, escrow)
        }
    }

    private static var currentDirectory: [UInt8] {
        var room = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let isKnown = room.withUnsafeMutableBytes {
            getcwd($0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) != nil
        }
        return isKnown ? Array(room.prefix { $0 != 0 }) : []
    }

    /// Names this process for ps(1), whichever of its threads this is (proc_pid_comm(5)); at most 15 bytes.
    static func name(_ name: StaticString) {
        let number = usl_open("/proc/self/comm", O_WRONLY | O_CLOEXEC, 0)
        guard number >= 0 else { return }
        let file = Descriptor(owning: number)
        _ = write(file.number, name.utf8Start, name.utf8CodeUnitCount)
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
