import CLinux
import Kernel
import SystemPackage

/// The keeper of a service (`usl gateway`, `usl forward`): the foreground process itself, whose child, the worker, does
/// everything else.
public struct WorkerKeeper: ~Copyable {
    private static let endingSignals = [SIGTERM, SIGINT, SIGHUP]

    private var worker: Worker
    private let signals: SignalDescriptor
    private let control: ControlSocket

    /// Runs a worker until it ends, and exits with its status; the process must have one thread only. `SIGTERM`, `SIGINT` and
    /// `SIGHUP` reach the worker as the message `end`.
    ///
    /// - Parameters:
    ///   - control: the worker's control socket.
    ///   - worker: what the worker does; called in a process of its own, with these signals and `SIGCHLD` blocked. It ends
    ///     when its channel ends.
    public static func run(
        _ control: consuming ControlSocket, worker: (consuming Descriptor, consuming EscrowChannel) -> Never
    ) -> Never {
        InheritedDescriptors.reserveStandardNumbers()
        usl_signal_set_default(SIGCHLD)
        // A signal that is ignored, say SIGHUP under nohup(1), asks for nothing.
        let observed = SignalSet([SIGCHLD] + endingSignals.filter { usl_signal_is_ignored($0) == 0 })
        observed.block()
        DescriptorLimit.raise()
        do {
            let signals = try SignalDescriptor(observed)
            let process = try Worker.fork { channel in
                worker(Descriptor(owning: control.listener.number), channel)
            }
            WorkerKeeper(worker: process, signals: signals, control: control).loop()
        } catch {
            unlink(control.path)
            Diagnostics.report("cannot start: \(error.description)")
            exit(Launcher.ExitStatus.failed)
        }
    }

    private init(
        worker: consuming Worker, signals: consuming SignalDescriptor, control: consuming ControlSocket
    ) {
        self.worker = worker
        self.signals = signals
        self.control = control
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
            let termination = Termination(waitStatus: status)
            if termination != nil { unlink(control.path) }
            switch termination {
            case .exited(let status): exit(Int32(status))
            case .signaled(let signal):
                Diagnostics.report("the worker was killed by signal \(signal); its connections are reset")
                exit(Launcher.ExitStatus.failed)
            case nil: continue
            }
        }
    }
}
