import CLinux
import Kernel
import SystemPackage

/// The launcher: the process that the user started, and that stands for the program towards the shell.
///
/// It stops and continues when the program does, passes on signals that were sent to it, and ends as the program ended, once
/// what the program wrote has been delivered. Keys on the terminal reach the program by themselves, since it is in the same
/// process group.
public struct Launcher: ~Copyable {
    private enum State {
        case starting
        case running(program: pid_t)
        case draining(Draining)
    }

    /// What is known while the last bytes of an ended program are on their way.
    private struct Draining {
        let termination: Termination
        /// When to tell the user, who sees a program that does not return; nil: done.
        var announceAt: ContinuousClock.Instant?
        var undelivered: UInt64 = 0
        var destination = ""
    }

    /// Exit statuses that are not the program's; design.md, section 10.
    public enum ExitStatus {
        public static let undelivered: Int32 = 75
        public static let failed: Int32 = 125
        static let notExecutable: UInt8 = 126
        static let notFound: UInt8 = 127
    }

    /// How long the last bytes may take before the user is told.
    private static let patience = Duration.seconds(2)

    private var state = State.starting
    private let keeper: Descriptor
    private let signals: SignalDescriptor
    private let originalMask: SignalSet

    /// Runs a program under a keeper and an agent, and ends as the program does. The process must have one thread only.
    ///
    /// - Parameters:
    ///   - arguments: the program and its arguments, byte for byte.
    ///   - interceptors: ways to get hold of its connections, the best first.
    ///   - fallBack: says what the earlier ones lack when a later one is about to be taken; called in the keeper.
    ///   - openControl: makes the agent's control socket; called in the keeper, to whose process it belongs.
    ///   - agent: what the agent does; called in a process of its own, with every signal blocked and no descriptor of the
    ///     program's but standard error. It ends when its channel ends; if it dies, it is called again, in another.
    ///   - isQuiet: whether such a death is worth no line.
    public static func run(
        _ arguments: [[UInt8]], isQuiet: Bool, interceptors: [Interceptor],
        fallBack: @escaping @Sendable (String, Interceptor) -> Void,
        openControl: () throws -> ControlSocket, agent: @escaping WorkerBody
    ) -> Never {
        if let legacy = KeeperLegacy.take() { ProgramKeeper.resume(legacy, isQuiet: isQuiet, agent: agent) }
        InheritedDescriptors.reserveStandardNumbers()
        let program = ProgramKeeper.Program(
            arguments: arguments, group: getpgrp(), signalMask: .blocked, interceptors: interceptors,
            fallBack: fallBack)
        SignalSet.all.setAsMask()
        do {
            let pidfd = Descriptor(owning: try check(usl_pidfd_open(getpid())))
            let ends = try SocketPair(nonBlocking: true)
            if try check(usl_fork()) == 0 {
                let launcher = LauncherConnection(descriptor: ends.keepSecond(), pidfd: pidfd)
                ProgramKeeper.start(
                    program, launcher, openControl: openControl, isQuiet: isQuiet, agent: agent)
            }
            _ = consume pidfd
            InheritedDescriptors.closeAll()
            let keeper = ends.keepFirst()
            try keeper.setNonBlocking(false)
            try Launcher(
                keeper: keeper, signals: SignalDescriptor(.all), originalMask: program.signalMask
            ).loop()
        } catch {
            Diagnostics.report("cannot start: \(error)")
            exit(ExitStatus.failed)
        }
    }

    private init(keeper: consuming Descriptor, signals: consuming SignalDescriptor, originalMask: SignalSet) {
        self.keeper = keeper
        self.signals = signals
        self.originalMask = originalMask
    }

    private consuming func loop() throws(Errno) -> Never {
        while true {
            var entries = [signals.descriptor.number, keeper.number].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            try retrying { poll(&entries, nfds_t(entries.count), millisecondsToAnnouncement()) }
            announceIfDue()
            // Signals first: a key that ended the program was sent to this process earlier than the news of its end.
            try takeSignals()
            if entries[1].revents != 0 { try takeMessage() }
        }
    }

    // MARK: Signals

    private mutating func takeSignals() throws(Errno) {
        while let arrival = try signals.next() {
            switch state {
            case .starting, .running: pass(arrival)
            case .draining(let draining): interrupt(draining, by: arrival)
            }
        }
    }

    private func pass(_ arrival: SignalDescriptor.Arrival) {
        switch arrival.signal {
        case SIGCONT: send(.resume)
        // The keeper is this process's only child of its own making, and reports by itself.
        case SIGCHLD: break
        default:
            // What the program sent to its whole group, it has too.
            if case .running(arrival.sender) = state { break }
            if arrival.isFromProcess { send(.forward(arrival.signal)) }
        }
    }

    private func interrupt(_ draining: Draining, by arrival: SignalDescriptor.Arrival) {
        switch arrival.signal {
        case SIGINT, SIGTERM, SIGHUP, SIGQUIT:
            // As for any program: `nohup` and background jobs of scripts ignore some of these.
            if usl_signal_is_ignored(arrival.signal) != 0 { return }
            send(.giveUp)
            leave(draining, lost: draining.undelivered)
        case SIGTSTP, SIGTTIN, SIGTTOU: stop(by: arrival.signal)
        default: break
        }
    }

    /// Stops this process as the program was stopped, until the shell continues it.
    private func stop(by signal: Int32) {
        usl_signal_set_default(signal)
        // Sent while it is blocked, it merges with one that the terminal has sent, and stops once.
        kill(getpid(), signal)
        var mask = SignalSet.all
        mask.remove(signal)
        mask.setAsMask()
        SignalSet.all.setAsMask()
    }

    // MARK: The keeper

    private mutating func takeMessage() throws(Errno) {
        guard let message = try receive() else {
            Diagnostics.report("the keeper has died; the program's connections are reset")
            exit(ExitStatus.failed)
        }
        switch message {
        case .started(let program): state = .running(program: program)
        case .failed(let status): exit(Int32(status))
        case .stopped(let signal):
            try takeSignals()
            stop(by: signal)
        case .ended(let termination):
            try takeSignals()
            state = .draining(Draining(termination: termination, announceAt: .now + Self.patience))
        case .draining(let undelivered, let destination):
            guard case .draining(var draining) = state else { return }
            draining.undelivered = undelivered
            draining.destination = destination
            state = .draining(draining)
        case .finished(let lost):
            guard case .draining(let draining) = state else { return }
            leave(draining, lost: lost)
        }
    }

    private func receive() throws(Errno) -> LauncherMessage? {
        do {
            let capacity = WorkerMessage.maximumSize
            guard let received = try DescriptorPassing.receive(capacity: capacity, over: keeper.number) else {
                return nil
            }
            return LauncherMessage(received.bytes)
        } catch .connectionReset {
            return nil
        }
    }

    private func send(_ request: LauncherRequest) {
        // A keeper that has died shows at the other end of the loop.
        _ = try? DescriptorPassing.send(request.encoded(), over: keeper.number)
    }

    // MARK: The end

    private func millisecondsToAnnouncement() -> Int32 {
        guard case .draining(let draining) = state, let due = draining.announceAt else { return -1 }
        let left = max(.zero, due - .now).components
        return Int32(left.seconds) * 1000 + Int32(left.attoseconds / 1_000_000_000_000_000) + 1
    }

    private mutating func announceIfDue() {
        guard case .draining(var draining) = state, let due = draining.announceAt, .now >= due else { return }
        let destination = draining.destination.isEmpty ? "their destination" : draining.destination
        Diagnostics.report(
            "waiting for \(draining.undelivered) bytes to reach \(destination); interrupt to give up")
        draining.announceAt = nil
        state = .draining(draining)
    }

    private func leave(_ draining: Draining, lost: UInt64) -> Never {
        if lost > 0 {
            Diagnostics.report("\(lost) bytes were not delivered")
            exit(ExitStatus.undelivered)
        }
        switch draining.termination {
        case .exited(let status): exit(Int32(status))
        case .signaled(let signal): die(by: signal)
        }
    }

    /// Ends this process by the signal that ended the program, so that the shell says what it always says.
    private func die(by signal: Int32) -> Never {
        // The program has left a core, if one was wanted.
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(RLIMIT_CORE, &none)
        usl_signal_set_default(signal)
        kill(getpid(), signal)
        var mask = originalMask
        mask.remove(signal)
        mask.setAsMask()
        // The first process of a PID namespace outlives signals that have no handler (pid_namespaces(7)).
        exit(128 + signal)
    }
}
