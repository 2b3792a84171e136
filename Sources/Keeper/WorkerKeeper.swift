import CLinux
import Kernel
import SystemPackage

/// The keeper of a service (`usl gateway`, `usl forward`): the foreground process itself, whose child, the worker, does
/// everything else.
public struct WorkerKeeper: ~Copyable {
    private static let endingSignals = [SIGTERM, SIGINT, SIGHUP]

    private var workers: Supervisor
    private let signals: SignalDescriptor
    private let control: ControlSocket
    /// Whether it was started at a terminal.
    private let hadTerminal = hasTerminal()

    /// Runs a worker until one ends in order, and exits with its status; the process must have one thread only. A worker
    /// that dies is followed by another. `SIGTERM` and `SIGINT` reach the worker as the message `end`, and so does the `SIGHUP` of
    /// a terminal that has gone; another `SIGHUP` reaches it as the message `reload`.
    ///
    /// - Parameters:
    ///   - openControl: makes the worker's control socket, unless the program that was here before has left one.
    ///   - prepare: opens listening sockets, those that are not there yet. When it throws, and a program was here before,
    ///     its own go on.
    ///   - name: what the worker is called in messages.
    ///   - worker: what the worker does; called in a process of its own, with these signals and `SIGCHLD` blocked.
    public static func run(
        openControl: () throws -> ControlSocket, prepare: (inout Escrow) throws -> Void, name: String = "worker",
        isQuiet: Bool = false, worker: @escaping WorkerBody
    ) throws -> Never {
        let legacy = KeeperLegacy.take()
        var escrow = legacy?.takeEscrow() ?? ServiceManager.takeDescriptors()
        let stored = escrow.keys
        do {
            try prepare(&escrow)
        } catch {
            if legacy == nil { throw error }
            Diagnostics.report("\(error); listens where it did before")
        }
        let control = try legacy?.takeControl() ?? openControl()
        InheritedDescriptors.reserveStandardNumbers()
        usl_signal_set_default(SIGCHLD)
        // A signal that is ignored, say SIGHUP under nohup(1), asks for nothing.
        let observed = SignalSet([SIGCHLD] + endingSignals.filter { usl_signal_is_ignored($0) == 0 })
        observed.block()
        DescriptorLimit.raise()
        escrow.mirror(besides: stored)
        do {
            let signals = try SignalDescriptor(observed)
            let workers = try Supervisor(
                escrow: escrow, control: control.listener.number, name: name, isQuiet: isQuiet, body: worker)
            WorkerKeeper(workers: workers, signals: signals, control: control).loop()
        } catch {
            unlink(control.path)
            Diagnostics.report("cannot start: \(error)")
            exit(Launcher.ExitStatus.failed)
        }
    }

    private init(
        workers: consuming Supervisor, signals: consuming SignalDescriptor, control: consuming ControlSocket
    ) {
        self.workers = workers
        self.signals = signals
        self.control = control
    }

    private consuming func loop() -> Never {
        while true {
            let numbers = [signals.descriptor.number] + [workers.channelNumber].compactMap(\.self)
            var entries = numbers.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if let number = workers.managerNumber {
                entries.append(pollfd(fd: number, events: Int16(POLLOUT), revents: 0))
            }
            _ = poll(&entries, nfds_t(entries.count), workers.pollTimeout)
            workers.flushManager()
            _ = workers.startIfDue()
            takeReports()
            becomeReplacement()
            while let arrival = try? signals.next() {
                take(arrival)
            }
            reap()
            if !workers.isAlive { leave(with: Launcher.ExitStatus.failed) }
        }
    }

    private mutating func take(_ arrival: SignalDescriptor.Arrival) {
        switch arrival.signal {
        case SIGCHLD: break
        // Some shells tell their jobs of a terminal that has gone, which then is none any more.
        case SIGHUP where arrival.isFromProcess && (!hadTerminal || hasTerminal()): workers.send(.reload)
        default: workers.requestEnd()
        }
    }

    /// What a gateway's worker reports about its legs is of no interest: nobody waits for them.
    private mutating func takeReports() {
        while workers.nextReport() != nil {}
    }

    private mutating func becomeReplacement() {
        let (path, number) = (control.path, control.listener.number)
        workers.becomeReplacement { escrow in
            KeeperLegacy(controlPath: path, control: number, escrow: escrow.items, program: nil)
        }
    }

    private mutating func reap() {
        var status: Int32 = 0
        guard let pid = workers.pid, waitpid(pid, &status, WNOHANG) == pid,
            let termination = Termination(waitStatus: status)
        else { return }
        takeReports()
        switch (workers.ended(termination), termination) {
        case (.restarts, _): break
        case (.ended, .exited(let status)), (.failed, .exited(let status)): leave(with: Int32(status))
        case (.ended, .signaled), (.failed, .signaled): leave(with: Launcher.ExitStatus.failed)
        }
    }

    private borrowing func leave(with status: Int32) -> Never {
        unlink(control.path)
        exit(status)
    }
}

/// Whether this process has a controlling terminal (tty(4)). One that has hung up is none.
private func hasTerminal() -> Bool {
    let terminal = usl_open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC, 0)
    guard terminal >= 0 else { return false }
    _ = Descriptor(owning: terminal)
    return true
}
