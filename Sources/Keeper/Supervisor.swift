import CLinux
public import Kernel
import SystemPackage

/// What a worker does, in a process of its own; it gets the control socket, its channel to the keeper, and what its
/// predecessor has left in escrow. It ends when its channel ends.
public typealias WorkerBody = (consuming Descriptor, consuming EscrowChannel, consuming Escrow) -> Never

/// The keeper's worker and the ones before it: all hold the same escrow, one after the other. When one dies, the next is
/// forked from the keeper, which has been waiting in one thread since before the first.
struct Supervisor: ~Copyable {
    /// What the end of a worker means.
    enum Outcome {
        /// A successor runs, or will after a pause.
        case restarts
        /// It ended in order, or as it was asked to.
        case ended
        /// It died, and no other will come.
        case failed
    }

    private let control: Int32
    /// What the worker is called in messages.
    private let name: String
    private let isQuiet: Bool
    private let body: WorkerBody
    private var escrow: Escrow
    private var worker: Worker?
    private var startedAt = ContinuousClock.now
    private var policy = RestartPolicy()
    private var restartAt: ContinuousClock.Instant?
    /// Whether any worker has served.
    private var hasServed = false
    private var isEnding = false
    private var replacement: Replacement?

    /// - Parameters:
    ///   - escrow: what the first worker finds there.
    ///   - control: the control socket; it stays the caller's.
    init(
        escrow: consuming Escrow, control: Int32, name: String, isQuiet: Bool, body: @escaping WorkerBody
    ) throws(Errno) {
        self.escrow = escrow
        self.control = control
        self.name = name
        self.isQuiet = isQuiet
        self.body = body
        try start()
    }

    /// nil while there is none.
    var pid: pid_t? {
        switch worker {
        case let worker?: worker.pid
        case nil: nil
        }
    }

    /// Readable when the worker says something or has died.
    var channelNumber: Int32? {
        switch worker {
        case let worker?: worker.channelNumber
        case nil: nil
        }
    }

    /// To be polled for writing: what the service manager has not taken yet.
    var managerNumber: Int32? {
        switch escrow.manager {
        case let manager?: manager.waitingNumber
        case nil: nil
        }
    }

    mutating func flushManager() { escrow.manager?.flush() }

    /// Whether there is a worker, or will be.
    var isAlive: Bool { pid != nil || restartAt != nil }

    /// How long poll(2) may wait, in milliseconds; -1 for ever.
    var pollTimeout: Int32 {
        guard let restartAt else { return -1 }
        let left = max(.zero, restartAt - .now).components
        return Int32(left.seconds) * 1000 + Int32(left.attoseconds / 1_000_000_000_000_000) + 1
    }

    func send(_ message: KeeperMessage) { worker?.send(message) }

    /// Takes what the worker says; nil when nothing more waits.
    mutating func nextReport() -> WorkerReport? {
        let report = worker?.nextReport(into: &escrow, &replacement)
        if report == .ready {
            hasServed = true
            escrow.manager?.serves()
        }
        return report
    }

    /// Becomes another program, if the worker has asked for that. It does not come back then; when it does, because there
    /// is no such program, a worker of this one goes on.
    ///
    /// - Parameter legacy: makes all that the keeper leaves to the other.
    mutating func becomeReplacement(_ legacy: (borrowing Escrow) -> KeeperLegacy) {
        guard let wanted = replacement.take() else { return }
        worker?.kill()
        while nextReport() != nil {}
        worker = nil
        let failure = legacy(escrow).hand(over: wanted)
        Diagnostics.report(
            """
            cannot be replaced by \(String(decoding: wanted.executable, as: UTF8.self)): \(failure); goes on as before
            """)
        restartAt = .now
        _ = startIfDue()
    }

    /// Asks the worker to end in order. Its end is then final.
    mutating func requestEnd() {
        isEnding = true
        restartAt = nil
        escrow.manager?.stops()
        send(.end)
    }

    /// The worker's process has ended, and this was its status. Everything that it had said has been taken.
    mutating func ended(_ termination: Termination) -> Outcome {
        worker = nil
        if isEnding || termination == .success { return .ended }
        // A worker that cannot even start the first time has said why.
        if case .exited = termination, !hasServed { return .failed }
        let how =
            switch termination {
            case .exited(let status): "ended with status \(status)"
            case .signaled(let signal): "was killed by signal \(signal)"
            }
        guard let pause = policy.pause(after: .now - startedAt) else {
            Diagnostics.report(
                """
                the \(name) \(how), the last of \(RestartPolicy.limit) that died as soon as they had started; its \
                connections are reset. Report this with what was said before
                """)
            return .failed
        }
        if !isQuiet { Diagnostics.report("the \(name) \(how); another takes over, and its connections go on") }
        restartAt = .now + pause
        _ = startIfDue()
        return .restarts
    }

    /// Starts the successor once its time has come.
    ///
    /// - Returns: whether it was started.
    mutating func startIfDue() -> Bool {
        guard let due = restartAt, due <= .now else { return false }
        restartAt = nil
        do throws(Errno) {
            try start()
            return true
        } catch {
            // No memory or no process to be had: neither lasts.
            restartAt = policy.pause(after: .zero).map { .now + $0 + .milliseconds(50) }
            if restartAt == nil {
                Diagnostics.report("cannot start another \(name): \(error); its connections are reset")
            }
            return false
        }
    }

    private mutating func start() throws(Errno) {
        startedAt = .now
        let (control, numbers, body) = (control, escrow.numbers, body)
        let successor = try Worker.fork { channel in
            // Nothing of the keeper's own, and nothing that would keep open what the program gave up.
            InheritedDescriptors.closeAll(except: Set(numbers + [control, channel.descriptor.number]))
            body(Descriptor(owning: control), channel, escrow.takeAll())
        }
        worker = consume successor
    }

    /// Asks the worker to end, waits for that, and lets the escrow go.
    mutating func end() {
        isEnding = true
        restartAt = nil
        worker.take()?.end()
        releaseEscrow()
    }

    /// Legs in escrow are reset.
    mutating func releaseEscrow() {
        while nextReport() != nil {}
        escrow.releaseAll()
    }
}
