import CLinux
import Kernel
import SystemPackage

/// The keeper of `usl COMMAND`: parent of the agent and of the program.
///
/// It holds the agent's escrow, tells the launcher what becomes of the program, and, as a child subreaper, stays after it with
/// what the program left running in the background, until no descendant and no leg is left.
struct ProgramKeeper: ~Copyable {
    enum State {
        /// The program lives.
        case running(isStopped: Bool)
        /// It has ended; the launcher waits until its bytes are delivered.
        case draining
        /// The launcher has gone, or may go.
        case lingering
    }

    var state = State.running(isStopped: false)
    let program: ChildProcess
    /// The agent, and the next if it dies.
    private var agents: Supervisor
    /// nil once the launcher has gone.
    var launcher: LauncherConnection?
    private let signals: SignalDescriptor
    /// Held for the agent; nil once nobody will answer there any more.
    private var control: ControlSocket?
    /// Of the program's trap, if it has one.
    var supervisor: SupervisorChannel?
    private var legs: UInt32 = 0
    private var undelivered: UInt64 = 0
    /// Whether the user does not want to wait for the last bytes.
    var isGivenUp = false
    /// Whether this process was asked to end.
    private var isTerminated = false

    /// Where the program was started.
    let directory: [UInt8]

    init(
        program: consuming ChildProcess, agents: consuming Supervisor, launcher: consuming LauncherConnection?,
        signals: consuming SignalDescriptor, control: consuming ControlSocket, supervisor: consuming SupervisorChannel?,
        directory: [UInt8]
    ) {
        self.supervisor = consume supervisor
        self.directory = directory
        self.program = program
        self.agents = agents
        self.launcher = consume launcher
        self.signals = signals
        self.control = consume control
    }

    /// Works until nothing is left to keep.
    consuming func run() {
        while !isDone {
            waitForAnything()
            startAgentIfDue()
            takeSignals()
            takeReports()
            becomeReplacement()
            takeRequests()
        }
        closeControl()
        agents.end()
    }

    private var isDone: Bool {
        guard case .lingering = state else { return false }
        if isTerminated || !agents.isAlive { return true }
        return (isGivenUp || legs == 0) && !hasDescendants
    }

    /// Waits until something happens. What it was is asked of each source, none of which blocks.
    private mutating func waitForAnything() {
        var entries = [pollfd(fd: signals.descriptor.number, events: Int16(POLLIN), revents: 0)]
        if let number = agents.channelNumber {
            entries.append(pollfd(fd: number, events: Int16(POLLIN), revents: 0))
        }
        if let number = supervisor?.number {
            entries.append(pollfd(fd: number, events: Int16(POLLIN), revents: 0))
        }
        if let number = launcher?.descriptor.number {
            let events = launcher?.isBehind == true ? POLLIN | POLLOUT : POLLIN
            entries.append(pollfd(fd: number, events: Int16(events), revents: 0))
        }
        _ = poll(&entries, nfds_t(entries.count), agents.pollTimeout)
        launcher?.flush()
        serveSupervisor(in: entries)
    }

    /// The channel blocks: it is only asked when something is there.
    private mutating func serveSupervisor(in entries: [pollfd]) {
        guard let number = supervisor?.number, entries.contains(where: { $0.fd == number && $0.revents != 0 }) else {
            return
        }
        if supervisor?.serve() == false { supervisor = nil }
    }

    // MARK: Children

    private mutating func takeSignals() {
        while let arrival = try? signals.next() {
            // Whoever ends everything at once ends the program too, whose last bytes are still delivered.
            if arrival.signal == SIGTERM { isTerminated = true }
        }
        reap()
    }

    /// Takes the news of every child: the program, the agent, and orphans that were left to this subreaper.
    private mutating func reap() {
        while true {
            var status: Int32 = 0
            let pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)
            guard pid > 0 else { return }
            if pid == program.pid {
                programChanged(status)
            } else if pid == agents.pid, let termination = Termination(waitStatus: status) {
                agentEnded(termination)
            }
        }
    }

    private mutating func programChanged(_ status: Int32) {
        if usl_wifstopped(status) != 0 {
            state = .running(isStopped: true)
            launcher?.send(.stopped(usl_wstopsig(status)))
        } else if usl_wifcontinued(status) != 0 {
            state = .running(isStopped: false)
            launcher?.wake()
        } else if let termination = Termination(waitStatus: status) {
            // A program that was continued and ended at once is only reported as ended.
            if case .running(isStopped: true) = state { launcher?.wake() }
            launcher?.send(.ended(termination))
            // Without a launcher the agent still reports when its last leg has gone.
            if !agents.isAlive || launcher == nil { finish(lost: 0) } else { state = .draining }
            agents.send(.programEnded)
        }
    }

    private mutating func agentEnded(_ termination: Termination) {
        // What it has put into escrow last is still on its way.
        takeReports()
        switch agents.ended(termination) {
        case .restarts: tellAgent()
        case .ended, .failed: noAgentIsLeft()
        }
    }

    private mutating func startAgentIfDue() {
        guard agents.channelNumber == nil, agents.isAlive else { return }
        if agents.startIfDue() { tellAgent() } else if !agents.isAlive { noAgentIsLeft() }
    }

    /// Tells a new agent what its predecessors have been told.
    func tellAgent() {
        if case .draining = state { agents.send(.programEnded) }
    }

    private mutating func becomeReplacement() {
        guard let path = control?.path, let number = control?.listener.number else { return }
        let program = legacy()
        agents.becomeReplacement { escrow in
            KeeperLegacy(controlPath: path, control: number, escrow: escrow.items, program: program)
        }
        if agents.channelNumber != nil { tellAgent() }
    }

    private mutating func noAgentIsLeft() {
        agents.releaseEscrow()
        closeControl()
        if case .draining = state { finish(lost: undelivered) }
    }

    /// Whether any process is left that the program started, or the program itself. Reparenting precedes the news of the
    /// parent's end, so a descendant that outlives its parent is a child by now.
    private var hasDescendants: Bool {
        let agent = agents.pid
        // A gateway that an agent has started goes when the last offer has gone, and with this process goes the program's.
        return children().contains { $0 != agent && !ProcessName.isSet(ProcessName.offers, of: $0) }
    }

    // MARK: The agent

    private mutating func takeReports() {
        while let report = agents.nextReport() {
            switch report {
            case .legs(let count, let undelivered, let destination):
                legs = count
                self.undelivered = undelivered
                if case .draining = state {
                    launcher?.send(.draining(undelivered: undelivered, destination: destination))
                }
            case .delivered(let lost):
                if case .draining = state { finish(lost: lost) }
            case .ready: break
            }
        }
    }

    private mutating func finish(lost: UInt64) {
        launcher?.send(.finished(lost: lost))
        state = .lingering
        // The launcher leaves now, and whoever reads standard error waits for its end.
        Diagnostics.detach()
        agents.send(.detach)
    }

    /// Programs that ask for the agent from now on connect as if there were no USL.
    private mutating func closeControl() {
        if let path = control?.path { unlink(path) }
        control = nil
    }

    // MARK: The launcher

    private mutating func takeRequests() {
        while let incoming = launcher?.receive() {
            switch incoming {
            case .nothing: return
            case .request(let request): take(request)
            case .end:
                launcher = nil
                if case .draining = state { finish(lost: 0) }
            }
        }
    }

    private mutating func take(_ request: LauncherRequest) {
        switch request {
        case .forward(let signal):
            try? program.send(signal: signal)
        case .resume:
            // Usually the shell continued the whole group, and one SIGCONT is enough for a program that counts them.
            reap()
            if case .running(isStopped: true) = state { try? program.send(signal: SIGCONT) }
        case .giveUp:
            isGivenUp = true
        }
    }
}

/// The children of this process, which has one thread (proc_pid_task_children(5)).
private func children() -> [pid_t] {
    let number = usl_open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC, 0)
    // Kernels without it (CONFIG_PROC_CHILDREN) cannot keep sessions of programs in the background.
    guard number >= 0 else { return [] }
    let file = Descriptor(owning: number)
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while let count = try? retrying({ read(file.number, &chunk, chunk.count) }), count > 0 {
        text += chunk[..<count]
    }
    return text.split(separator: UInt8(ascii: " ")).compactMap { pid_t(String(decoding: $0, as: UTF8.self)) }
}
