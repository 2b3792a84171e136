import CLinux
import Kernel
import SystemPackage

extension ProgramKeeper {
    /// What is left to a program that takes this one's place.
    mutating func legacy() -> KeeperLegacy.Program {
        let state: KeeperLegacy.Program.State =
            switch self.state {
            case .running(let isStopped): isStopped ? .stopped : .running
            case .draining: .draining
            case .lingering: .lingering
            }
        return KeeperLegacy.Program(
            pid: program.pid, pidfd: program.pidfd.number, launcher: launcher?.descriptor.number ?? -1,
            launcherPidfd: launcher?.pidfd.number ?? -1, state: state, isGivenUp: isGivenUp, directory: directory,
            supervisor: supervisor?.number ?? -1)
    }

    /// Goes on where another program has left off, in its process.
    static func resume(_ legacy: KeeperLegacy, isQuiet: Bool, agent: @escaping WorkerBody) -> Never {
        guard let left = legacy.program else {
            Diagnostics.report("cannot go on as the keeper of a program: there is none")
            _exit(Launcher.ExitStatus.failed)
        }
        do throws(Errno) {
            DescriptorLimit.raise()
            SignalSet.all.setAsMask()
            let signals = try SignalDescriptor(SignalSet([SIGCHLD, SIGTERM]))
            let control = legacy.takeControl()
            ProcessName.set("usl-keeper")
            _ = chdir("/")
            let agents = try Supervisor(
                escrow: legacy.takeEscrow(), control: control.listener.number, name: "agent", isQuiet: isQuiet,
                body: named(agent))
            var launcher: LauncherConnection?
            if left.launcher >= 0 {
                launcher = LauncherConnection(
                    descriptor: Descriptor(owning: left.launcher), pidfd: Descriptor(owning: left.launcherPidfd))
            }
            var supervisor: SupervisorChannel?
            if left.supervisor >= 0 { supervisor = SupervisorChannel(owning: Descriptor(owning: left.supervisor)) }
            var keeper = ProgramKeeper(
                program: ChildProcess(adopting: left.pid, pidfd: Descriptor(owning: left.pidfd)), agents: agents,
                launcher: launcher, signals: signals, control: control, supervisor: supervisor,
                directory: left.directory)
            keeper.take(left)
            keeper.run()
            _exit(0)
        } catch {
            Diagnostics.report("cannot go on: \(error)")
            _exit(Launcher.ExitStatus.failed)
        }
    }

    private mutating func take(_ left: KeeperLegacy.Program) {
        isGivenUp = left.isGivenUp
        switch left.state {
        case .running: state = .running(isStopped: false)
        case .stopped: state = .running(isStopped: true)
        case .draining: state = .draining
        case .lingering: state = .lingering
        }
        tellAgent()
    }
}
