import CLinux
import Kernel
import Synchronization

/// A thread that does something once.
final class Worker<Value: Sendable>: Sendable {
    private let outcome = Mutex<Result<Value, LoadFailure>?>(nil)
    private let thread = Mutex<pthread_t>(0)

    init(_ body: @escaping @Sendable () throws(LoadFailure) -> Value) throws(LoadFailure) {
        do {
            let thread = try startThread(name: "load") { [self] in
                let outcome = Result { () throws(LoadFailure) in try body() }
                self.outcome.withLock { $0 = outcome }
            }
            self.thread.withLock { $0 = thread }
        } catch {
            throw LoadFailure(reason: "thread: \(error)")
        }
    }

    /// Waits for its end. To be called once.
    func result() throws(LoadFailure) -> Value {
        pthread_join(thread.withLock { $0 }, nil)
        guard let outcome = outcome.withLock({ $0 }) else {
            preconditionFailure("a thread that has ended has an outcome")
        }
        return try outcome.get()
    }
}
