import CLinux
public import Engine
import Kernel
public import SessionProtocol
import Synchronization
import SystemPackage

/// Runs calls that block off the event loops: the system's resolver, first of all. Their results come back on the loop. Threads
/// start when there is something to do, and end when there is nothing.
///
/// Belongs to one loop.
public final class BlockingCalls {
    /// Calls that may wait for a thread. A resolver that hangs must not fill memory.
    private static let maximumWaiting = 256

    private let loop: EventLoop
    private let queue: CallQueue
    private var pending: [UInt64: Pending] = [:]
    private var lastNumber: UInt64 = 0

    private struct Pending {
        let deliver: (Any?) -> Void
        let timer: TimerToken
    }

    /// - Parameters:
    ///   - name: of its threads.
    ///   - maximum: threads at a time. As many calls that hang keep all others waiting until they return or time out.
    public init(name: String, maximum: Int, on loop: EventLoop) {
        self.loop = loop
        queue = CallQueue(name: name, maximum: maximum)
    }

    /// Runs `call` on another thread.
    ///
    /// - Parameters:
    ///   - limit: after this time nobody waits any more. If the call runs by then, its thread is free when it returns; if
    ///     not, it never will.
    ///   - done: called once, on the loop, never before this returns; nil when time was up, or too many calls wait.
    public func run<Value: Sendable>(
        within limit: Interval, _ call: @escaping @Sendable () -> Value, done: @escaping (Value?) -> Void
    ) {
        lastNumber += 1
        let number = lastNumber
        let (mailbox, home) = (loop.mailbox, LoopBound(self, on: loop))
        let isQueued = queue.add(number, below: BlockingCalls.maximumWaiting) {
            let value = call()
            mailbox.post { home.on($0).finish(number, value) }
        }
        let timer = loop.schedule(Pause { [self] in giveUp(number) }, at: isQueued ? loop.now + limit : loop.now)
        pending[number] = Pending(deliver: { done($0 as? Value) }, timer: timer)
    }

    private func finish(_ number: UInt64, _ value: Any) {
        guard let call = pending.removeValue(forKey: number) else { return }
        loop.cancel(call.timer)
        call.deliver(value)
    }

    private func giveUp(_ number: UInt64) {
        queue.remove(number)
        pending.removeValue(forKey: number)?.deliver(nil)
    }
}

/// The calls that no thread has taken yet, and how many threads there are.
private final class CallQueue: Sendable {
    private struct State {
        var waiting: [(number: UInt64, call: @Sendable () -> Void)] = []
        var threads = 0
    }

    private let name: String
    private let maximum: Int
    private let state = Mutex(State())

    init(name: String, maximum: Int) {
        self.name = name
        self.maximum = maximum
    }

    /// False if too many wait, or there is no thread to run it.
    func add(_ number: UInt64, below limit: Int, _ call: @escaping @Sendable () -> Void) -> Bool {
        let (isAdded, needsThread) = state.withLock { state in
            guard state.waiting.count < limit else { return (false, false) }
            state.waiting.append((number, call))
            guard state.threads < maximum else { return (true, false) }
            state.threads += 1
            return (true, true)
        }
        guard needsThread else { return isAdded }
        do throws(Errno) {
            pthread_detach(try startThread(name: name) { self.work() })
            return true
        } catch {
            // Without another thread, those that there are do.
            let isAlone = state.withLock { state in
                state.threads -= 1
                return state.threads == 0
            }
            if isAlone { remove(number) }
            return !isAlone
        }
    }

    func remove(_ number: UInt64) { state.withLock { $0.waiting.removeAll { $0.number == number } } }

    private func work() {
        while let call = next() { call() }
    }

    /// The next call; without one, the thread ends.
    private func next() -> (@Sendable () -> Void)? {
        state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.threads -= 1
                return nil
            }
            return state.waiting.removeFirst().call
        }
    }
}
