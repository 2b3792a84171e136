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
        /// Ways to get hold of its connections, the best first.
        let interceptors: [Interceptor]
        /// Says why an earlier one is not taken, and this one is.
        let fallBack: @Sendable (String, Interceptor) -> Void
    }

    fileprivate enum SpawnFailure: Error {
        case program(status: UInt8, Errno)
        /// With no interceptor; what each of them lacks.
        case interception(String)
    }

    /// A program that runs.
    private struct Started: ~Copyable {
        let program: ChildProcess
        let supervisor: SupervisorChannel?

        consuming func keeper(
            _ agents: consuming Supervisor, _ launcher: consuming LauncherConnection,
            _ signals: consuming SignalDescriptor, _ control: consuming ControlSocket, directory: [UInt8]
        ) -> ProgramKeeper {
            ProgramKeeper(
                program: program, agents: agents, launcher: launcher, signals: signals, control: control,
                supervisor: supervisor, directory: directory)
        }
    }

    private enum TrapFailure: Error {
        case trap(String)
        case program(SpawnFailure)
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
            let started: Started
            do throws(SpawnFailure) {
                started = try spawn(program, control)
            } catch {
                unlink(control.path)
                let name = text(program.arguments[0])
                switch error {
                case .program(let status, let code):
                    Diagnostics.report("cannot run '\(name)': \(code.description)")
                    launcher.send(.failed(status))
                case .interception(let lacks):
                    Diagnostics.report("cannot intercept the connections of '\(name)': \(lacks)")
                    launcher.send(.failed(UInt8(Launcher.ExitStatus.failed)))
                }
                _exit(0)
            }
            launcher.send(.started(started.program.pid))
            ProcessName.set("usl-keeper")
            InheritedDescriptors.closeAll()
            _ = chdir("/")
            DescriptorLimit.raise()
            started.keeper(agents, launcher, signals, control, directory: directory).run()
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
        _ program: Program, _ control: borrowing ControlSocket
    ) throws(SpawnFailure) -> Started {
        var lacks: [String] = []
        for interceptor in program.interceptors {
            if !lacks.isEmpty { program.fallBack(lacks.joined(separator: "; "), interceptor) }
            switch interceptor.means {
            case .trap(let trap):
                do throws(TrapFailure) {
                    return try spawn(program, under: trap, called: interceptor.name, control)
                } catch {
                    switch error {
                    case .trap(let lack): lacks.append("\(interceptor.name): \(lack)")
                    case .program(let failure): throw failure
                    }
                }
            case .environment:
                for (name, value) in control.environment { setenv(name, value, 1) }
                return Started(program: try spawn(program), supervisor: nil)
            }
        }
        throw .interception(lacks.joined(separator: "; "))
    }

    private static func spawn(
        _ program: Program, under trap: Trap, called name: String, _ control: borrowing ControlSocket
    ) throws(TrapFailure) -> Started {
        let channel = try supervisor(of: trap, control)
        do throws(ChildProcess.StartFailure) {
            let child = try ChildProcess.fork(
                program.arguments, joining: program.group, signalMask: program.signalMask
            ) { () throws(Errno) in
                // The library of another usl that this one runs under would ask that one's agent.
                unsetenv("USL_AGENT")
                setenv(Trap.variable, name, 1)
                let listener = try trap.install()
                try DescriptorPassing.send([0], passing: listener.number, over: channel.number)
            }
            return Started(program: child, supervisor: SupervisorChannel(owning: channel))
        } catch {
            switch error {
            case .preparation(.resourceBusy): throw .trap("another supervisor is in charge of this process already")
            case .preparation(let code): throw .trap("\(code)")
            case .system(let code), .execution(let code): throw .program(SpawnFailure(code))
            }
        }
    }

    private static func supervisor(
        of trap: Trap, _ control: borrowing ControlSocket
    ) throws(TrapFailure) -> Descriptor {
        do throws(Trap.Failure) { return try trap.startSupervisor(askingAt: control.path) } catch {
            throw .trap(error.description)
        }
    }

    private static func spawn(_ program: Program) throws(SpawnFailure) -> ChildProcess {
        var attributes = ChildProcess.Attributes()
        attributes.processGroup = .joined(program.group)
        attributes.signalMask = program.signalMask
        do {
            return try ChildProcess.spawn(program.arguments, attributes)
        } catch {
            throw SpawnFailure(error)
        }
    }

    /// An agent as ps(1) shows it, and out of the user's way.
    static func named(_ agent: @escaping WorkerBody) -> WorkerBody {
        { control, channel, escrow in
            ProcessName.set("usl-agent")
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

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

extension ProgramKeeper.SpawnFailure {
    fileprivate init(_ error: Errno) {
        switch error {
        case .noSuchFileOrDirectory: self = .program(status: Launcher.ExitStatus.notFound, error)
        case .resourceTemporarilyUnavailable, .noMemory, .tooManyOpenFiles, .tooManyOpenFilesInSystem:
            // Said by fork(2) or pidfd_open(2), not about the program.
            self = .program(status: UInt8(Launcher.ExitStatus.failed), error)
        default: self = .program(status: Launcher.ExitStatus.notExecutable, error)
        }
    }
}
