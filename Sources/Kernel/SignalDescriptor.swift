import CLinux
public import SystemPackage

/// Signals as something to read and to poll (signalfd(2)). The process must have blocked them.
public struct SignalDescriptor: ~Copyable, Sendable {
    /// One signal that arrived.
    public struct Arrival: Sendable {
        public let signal: Int32
        /// Who sent it, if `isFromProcess`.
        public let sender: pid_t
        /// Whether a process sent it: kill(2), sigqueue(3) or tgkill(2), rather than the kernel, say for a key on the
        /// terminal.
        public let isFromProcess: Bool
    }

    /// Readable when a signal waits. Does not block.
    public let descriptor: Descriptor

    public init(_ signals: SignalSet) throws(Errno) {
        let flags = Int32(SFD_CLOEXEC | SFD_NONBLOCK)
        descriptor = Descriptor(
            owning: try withUnsafePointer(to: signals.value) { (set) throws(Errno) in
                try check(signalfd(-1, set, flags))
            })
    }

    /// The next signal; nil when none waits.
    public borrowing func next() throws(Errno) -> Arrival? {
        var info = signalfd_siginfo()
        do {
            try retrying { read(descriptor.number, &info, MemoryLayout<signalfd_siginfo>.size) }
        } catch .wouldBlock {
            return nil
        }
        // Codes above zero mean the kernel (sigaction(2)); the timer and I/O codes below zero are not kill's either.
        let isFromProcess = [usl_si_user(), usl_si_queue(), usl_si_tkill()].contains(info.ssi_code)
        return Arrival(
            signal: Int32(info.ssi_signo), sender: pid_t(info.ssi_pid), isFromProcess: isFromProcess)
    }
}
