import CLinux

/// Learns, while the agent is asked, whether a signal handler ran that would have ended the application's connect(2) with
/// `EINTR`: one without `SA_RESTART`, or any if the socket has a timeout (signal(7)).
///
/// poll(2) ends with `EINTR` after every handler and does not say which. So the signals are blocked during the wait, a
/// signalfd(2) wakes it, and what is pending is looked at before it is let through.
struct SignalWatch: ~Copyable {
    private var interrupted = false
    private let everyHandlerInterrupts: Bool
    /// The signalfd; -1 when nothing is watched.
    private let descriptor: Int32
    private var original = sigset_t()

    private static var numbers: ClosedRange<Int32> { 1...64 }

    /// Watches nothing: for calls that no signal interrupts.
    init() {
        everyHandlerInterrupts = false
        descriptor = -1
    }

    /// For connect(2) on a blocking socket.
    init(connecting socket: Int32) {
        var limit = timeval()
        var length = socklen_t(MemoryLayout<timeval>.size)
        _ = getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, &length)
        everyHandlerInterrupts = limit.tv_sec != 0 || limit.tv_usec != 0

        pthread_sigmask(SIG_BLOCK, nil, &original)
        var watched = sigset_t()
        sigemptyset(&watched)
        // What the application itself has blocked stays pending, and would wake the wait for ever.
        for number in Self.numbers where sigismember(&original, number) == 0 { sigaddset(&watched, number) }
        descriptor = signalfd(-1, &watched, Int32(SFD_CLOEXEC))
        if descriptor >= 0 { block() }
    }

    /// Waits until `control` is readable; false if it is not yet.
    mutating func wait(for control: Int32, milliseconds: Int32) -> Bool {
        var entries = InlineArray<2, pollfd>(repeating: pollfd(fd: control, events: Int16(POLLIN), revents: 0))
        entries[1].fd = descriptor
        var span = entries.mutableSpan
        _ = span.withUnsafeMutableBufferPointer { poll($0.baseAddress, nfds_t($0.count), milliseconds) }
        if entries[1].revents != 0 {
            look()
            unblock()
            block()
        }
        return entries[0].revents != 0
    }

    /// Ends the watch; whether connect(2) would have been interrupted.
    consuming func end() -> Bool {
        guard descriptor >= 0 else { return false }
        look()
        unblock()
        _ = close(descriptor)
        return interrupted
    }

    /// Looks at the signals that wait for `unblock`.
    private mutating func look() {
        var pending = sigset_t()
        sigpending(&pending)
        for number in Self.numbers where sigismember(&pending, number) == 1 && sigismember(&original, number) == 0 {
            var action = sigaction()
            guard sigaction(number, nil, &action) == 0 else { continue }
            // SIG_DFL is 0 and SIG_IGN is 1: neither runs a handler.
            let isHandler = unsafeBitCast(action.__sigaction_handler, to: UInt.self) > 1
            let restarts = action.sa_flags & Int32(SA_RESTART) != 0
            if isHandler && (everyHandlerInterrupts || !restarts) { interrupted = true }
        }
    }

    private func block() {
        var everything = sigset_t()
        sigfillset(&everything)
        pthread_sigmask(SIG_BLOCK, &everything, nil)
    }

    private mutating func unblock() { pthread_sigmask(SIG_SETMASK, &original, nil) }
}
