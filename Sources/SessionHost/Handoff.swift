import Synchronization

/// Carries a value that has one owner from one loop to another, in a message. Whoever takes it owns it; if nobody does,
/// since the receiving loop has ended, it ends with the message.
public final class Handoff<Value: ~Copyable & Sendable>: Sendable {
    private let value: Mutex<Value?>

    public init(_ value: consuming sending Value) { self.value = Mutex(value) }

    /// The value, the first time.
    public func take() -> sending Value? {
        value.withLock { value in
            let taken = value.take()
            return taken
        }
    }
}
