import CLinux
import Kernel
import Synchronization
import SystemPackage

/// The way into an event loop from other threads.
public final class LoopMailbox: Sendable {
    /// What a loop runs for another thread.
    public typealias Message = @Sendable (EventLoop) -> Void

    private struct State {
        var messages: [Message] = []
        var isOpen = true
    }

    private let state = Mutex(State())
    private let wakeup: Descriptor

    init() throws(Errno) {
        wakeup = Descriptor(owning: try check(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))))
    }

    /// The eventfd that becomes readable when messages wait.
    var descriptor: Int32 { wakeup.number }

    /// Lets the loop run `message` in its next turn; messages of one thread run in the order of their posting.
    ///
    /// - Returns: false when the loop has stopped, and the message will never run.
    @discardableResult
    public func post(_ message: @escaping Message) -> Bool {
        let (isOpen, wasEmpty) = state.withLock { state in
            guard state.isOpen else { return (false, false) }
            state.messages.append(message)
            return (true, state.messages.count == 1)
        }
        // Later messages ride on the wake-up of the first: the loop takes them all at once.
        if wasEmpty { wake() }
        return isOpen
    }

    /// Takes all waiting messages, and leaves `empty` and its capacity in their place.
    func exchange(_ empty: inout [Message]) {
        var count: UInt64 = 0
        // Clear the wake-up before taking the messages: a message posted in between wakes once too often, never not
        // at all.
        _ = read(wakeup.number, &count, MemoryLayout<UInt64>.size)
        state.withLock { swap(&$0.messages, &empty) }
    }

    /// Refuses messages from now on and drops those that wait.
    func close() {
        let dropped = state.withLock { state in
            state.isOpen = false
            return state.messages.take()
        }
        // Released here, outside the lock: what a message captured may post again as it goes.
        _ = consume dropped
    }

    private func wake() {
        var one: UInt64 = 1
        // EAGAIN, a counter at its limit, is as good: the loop has not read the wake-ups it has.
        _ = write(wakeup.number, &one, MemoryLayout<UInt64>.size)
    }
}

extension Array {
    /// The elements, leaving none.
    fileprivate mutating func take() -> [Element] {
        var taken: [Element] = []
        swap(&self, &taken)
        return taken
    }
}
