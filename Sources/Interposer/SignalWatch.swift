import CLinux

/// What can be done with the descriptors that were waited for. An error makes them ready as well.
struct Readiness {
    let isReadable: Bool
    let isWritable: Bool
}

/// The socket's `SO_SNDTIMEO` in milliseconds, at least 1; nil without one. It bounds connect(2) too (socket(7)).
func sendTimeout(of socket: Int32) -> Int64? {
    var limit = timeval()
    var length = socklen_t(MemoryLayout<timeval>.size)
    guard getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, &length) == 0 else { return nil }
    guard limit.tv_sec != 0 || limit.tv_usec != 0 else { return nil }
    return max(1, Int64(limit.tv_sec) * 1000 + Int64(limit.tv_usec) / 1000)
}

/// Learns, while the agent is asked, whether a signal handler ran that would have ended the application's connect(2) with
/// `EINTR`: one without `SA_RESTART`, or any if the socket has a timeout (signal(7)).
///
/// poll(2) ends with `EINTR` after every handler and does not say which. So the signals are blocked during the wait, a
/// signalfd(2) wakes it, and what is pending is looked at before it is let through.
struct SignalWatch: ~Copyable {
    /// Whether connect(2) would have been interrupted by now.
    private(set) var interrupted = false
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
        everyHandlerInterrupts = sendTimeout(of: socket) != nil

        pthread_sigmask(SIG_BLOCK, nil, &original)
        var watched = sigset_t()
        sigemptyset(&watched)
        // What the application itself has blocked stays pending, and would wake the wait for ever.
        for number in Self.numbers where sigismember(&original, number) == 0 { sigaddset(&watched, number) }
        descriptor = signalfd(-1, &watched, Int32(SFD_CLOEXEC))
        if descriptor >= 0 { block() }
    }

    /// Waits until one descriptor is readable or another is writable, or for that long. Negative ones are not waited for.
    mutating func wait(readable: Int32, writable: Int32 = -1, milliseconds: Int32) -> Readiness {
        var entries = InlineArray<3, pollfd>(repeating: pollfd(fd: readable, events: Int16(POLLIN), revents: 0))
        entries[1].fd = descriptor
        entries[2] = pollfd(fd: writable, events: Int16(POLLOUT), revents: 0)
        var span = entries.mutableSpan
        _ = span.withUnsafeMutableBufferPointer { poll($0.baseAddress, nfds_t($0.count), milliseconds) }
        if entries[1].revents != 0 {
            look()
            unblock()
            block()
        }
        return Readiness(isReadable: entries[0].revents != 0, isWritable: entries[2].revents != 0)
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
