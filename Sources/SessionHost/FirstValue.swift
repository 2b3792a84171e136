import CLinux

/// A value that one thread makes and another waits for, once.
final class FirstValue<Value: Sendable>: @unchecked Sendable {
    // Unchecked: `value` is written before and read after the semaphore, which orders the two.
    private var value: Value?
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func set(_ value: Value) {
        self.value = value
        sem_post(semaphore)
    }

    func wait() -> Value {
        while sem_wait(semaphore) != 0 {}
        guard let value else { preconditionFailure("the semaphore was posted without a value") }
        return value
    }
}
