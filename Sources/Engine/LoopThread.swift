import CLinux
import Kernel
public import SystemPackage

/// A thread that runs an event loop.
public final class LoopThread: Sendable {
    /// The way into the loop. `post { $0.stop() }` ends it.
    public let mailbox: LoopMailbox
    private let thread: pthread_t

    /// Starts the thread. It blocks all signals, so that they reach whoever waits for them, except those that report a fault of
    /// the thread itself.
    fileprivate init(body: ThreadBody) throws(Errno) {
        mailbox = body.loop.mailbox
        let previous = SignalSet.blocked
        var mask = SignalSet.all
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { mask.remove(signal) }
        mask.setAsMask()
        defer { previous.setAsMask() }

        var thread = pthread_t()
        let context = Unmanaged.passRetained(body)
        let status = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard status == 0 else {
            context.release()
            throw Errno(rawValue: status)
        }
        self.thread = thread
    }

    /// Waits until the loop has stopped and its thread has ended. Call it once; a thread that nobody joins keeps its stack.
    public func join() { pthread_join(thread, nil) }
}

/// What a new thread takes over from the one that made it.
private final class ThreadBody {
    let name: String
    let loop: EventLoop
    let setup: @Sendable (EventLoop) -> Void

    init(name: String, loop: EventLoop, setup: @escaping @Sendable (EventLoop) -> Void) {
        self.name = name
        self.loop = loop
        self.setup = setup
    }

    func run() {
        // A name is at most 15 bytes (pthread_setname_np(3)); a longer one would be refused.
        pthread_setname_np(pthread_self(), String(decoding: name.utf8.prefix(15), as: UTF8.self))
        setup(loop)
        loop.run()
    }
}

extension EventLoop {
    /// Runs a new loop on a new thread, where `setup` is called first.
    ///
    /// - Parameter name: the thread's name, as debuggers and top(1) show it; cut to 15 bytes.
    public static func start(
        name: String, arena limits: ArenaLimits, _ setup: @escaping @Sendable (EventLoop) -> Void
    ) throws(Errno) -> LoopThread {
        try start(name: name, EventLoop(arena: limits), setup)
    }

    /// Runs a loop that nobody else has a reference to on a new thread.
    public static func start(
        name: String, _ loop: EventLoop, _ setup: @escaping @Sendable (EventLoop) -> Void
    ) throws(Errno) -> LoopThread {
        try LoopThread(body: ThreadBody(name: name, loop: loop, setup: setup))
    }
}
