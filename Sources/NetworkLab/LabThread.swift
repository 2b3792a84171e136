import CLinux
import Synchronization

/// A thread of the lab's own programs, which have one for each connection.
final class LabThread: Sendable {
    private let body: @Sendable () -> Bool
    private let result = Mutex(false)
    private let handle = Mutex<pthread_t>(0)

    private init(_ body: @escaping @Sendable () -> Bool) { self.body = body }

    /// - Parameter body: returns whether it has done what it should.
    @discardableResult
    static func start(_ body: @escaping @Sendable () -> Bool) -> LabThread {
        let thread = LabThread(body)
        var handle = pthread_t()
        let context = Unmanaged.passRetained(thread).toOpaque()
        let status = pthread_create(
            &handle, nil,
            { context in
                guard let context else { return nil }
                let thread = Unmanaged<LabThread>.fromOpaque(context).takeRetainedValue()
                let result = thread.body()
                thread.result.withLock { $0 = result }
                return nil
            }, context)
        precondition(status == 0, "no thread: \(String(cString: strerror(status)))")
        thread.handle.withLock { $0 = handle }
        return thread
    }

    /// A thread that nobody waits for.
    static func start(_ body: @escaping @Sendable () -> Void) {
        let thread = start {
            body()
            return true
        }
        thread.handle.withLock { _ = pthread_detach($0) }
    }

    /// Waits for its end.
    func join() { pthread_join(handle.withLock { $0 }, nil) }

    var hasSucceeded: Bool { result.withLock { $0 } }
}
