import CLinux
import Kernel
import SystemPackage

/// The keeper of a gateway: the foreground process itself, whose child is the worker that does everything else.
public struct WorkerKeeper: ~Copyable {
    private static let endingSignals = [SIGTERM, SIGINT, SIGHUP]

    private var worker: Worker
    private let signals: SignalDescriptor

    /// Runs a worker until it ends, and exits with its status; the process must have one thread only. `SIGTERM`, `SIGINT` and
    /// `SIGHUP` reach the worker as the message `end`.
    ///
    /// - Parameter worker: what the worker does; called in a process of its own, with these signals and `SIGCHLD` blocked.
    ///   It ends when its channel ends.
    public static func run(worker: (consuming EscrowChannel) -> Never) -> Never {
        InheritedDescriptors.reserveStandardNumbers()
        usl_signal_set_default(SIGCHLD)
        // A signal that is ignored, say SIGHUP under nohup(1), asks for nothing.
        let observed = SignalSet([SIGCHLD] + endingSignals.filter { usl_signal_is_ignored($0) == 0 })
        observed.block()
        do {
            let signals = try SignalDescriptor(observed)
            let keeper = try Self(worker: Worker.fork(worker), signals: signals)
            keeper.loop()
        } catch {
            Diagnostics.report("cannot start: \(error.description)")
            exit(Launcher.ExitStatus.failed)
        }
    }

    private init(worker: consuming Worker, signals: consuming SignalDescriptor) {
        self.worker = worker
        self.signals = signals
    }

    private consuming func loop() -> Never {
        while true {
            var entries = [signals.descriptor.number, worker.channelNumber].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            _ = poll(&entries, nfds_t(entries.count), -1)
            // What a gateway's worker reports about its legs is of no interest: nobody waits for them.
            while worker.nextReport() != nil {}
            while let arrival = try? signals.next() {
                if arrival.signal != SIGCHLD { worker.send(.end) }
            }
            var status: Int32 = 0
            guard waitpid(worker.pid, &status, WNOHANG) == worker.pid else { continue }
            switch Termination(waitStatus: status) {
            case .exited(let status): exit(Int32(status))
            case .signaled(let signal):
                Diagnostics.report("the gateway was killed by signal \(signal); its connections are reset")
                exit(Launcher.ExitStatus.failed)
            case nil: continue
            }
        }
    }
}
