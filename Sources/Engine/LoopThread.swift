import CLinux
import Kernel
public import SystemPackage

/// A thread that runs an event loop.
public final class LoopThread: Sendable {
    /// The way into the loop. `post { $0.stop() }` ends it.
    public let mailbox: LoopMailbox
    private let thread: pthread_t

    fileprivate init(
        name: String, _ loop: EventLoop, _ setup: @escaping @Sendable (EventLoop) -> Void
    ) throws(Errno) {
        mailbox = loop.mailbox
        thread = try startThread(name: name) {
            setup(loop)
            loop.run()
        }
    }

    /// Waits until the loop has stopped and its thread has ended. Call it once; a thread that nobody joins keeps its stack.
    public func join() { pthread_join(thread, nil) }
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
        try LoopThread(name: name, loop, setup)
    }
}
