import CLinux

/// How a copy of this process that fork(2) has made goes on, if it is to have threads.
public enum ForkedProcess {
    private final class Body {
        let run: () -> Never
        let mask: SignalSet

        init(_ run: @escaping () -> Never, _ mask: SignalSet) {
            self.run = run
            self.mask = mask
        }
    }

    /// Goes on with `body` on a new thread, with the calling thread's signal mask. The calling thread, the only one that
    /// comes out of fork(2), waits for ever and takes no signals.
    ///
    /// Swift's locks on Linux are futexes that know their owner by its thread's number (`FUTEX_LOCK_PI`, futex(2)), and
    /// the runtime asks for this number once a thread. The thread that comes out of fork(2) remembers that of its
    /// parent: a lock that it holds when another thread wants it is never free again. A new thread asks afresh.
    public static func continueOnNewThread(_ body: @escaping () -> Never) -> Never {
        let context = Unmanaged.passRetained(Body(body, .blocked))
        SignalSet.all.setAsMask()
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                let body = Unmanaged<Body>.fromOpaque(context!).takeRetainedValue()
                body.mask.setAsMask()
                body.run()
            }, context.toOpaque())
        guard status == 0 else {
            Diagnostics.report("cannot start a thread: \(String(cString: strerror(status)))")
            _exit(125)
        }
        while true { pthread_join(thread, nil) }
    }
}
