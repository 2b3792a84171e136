public import Engine

/// A reference to something that lives on one event loop. It may travel anywhere, but opens only on that loop's thread.
public final class LoopBound<Value>: @unchecked Sendable {
    // Unchecked: `value` is reached only through `on(_:)`, which insists on the loop that the value belongs to, and a
    // loop never leaves its thread. It must also end there: whoever drops the last reference elsewhere must know that
    // the value's end touches nothing of the loop.
    private let value: Value
    private let loop: ObjectIdentifier

    public init(_ value: Value, on loop: EventLoop) {
        self.value = value
        self.loop = ObjectIdentifier(loop)
    }

    public func on(_ loop: EventLoop) -> Value {
        precondition(self.loop == ObjectIdentifier(loop), "a value of another loop")
        return value
    }
}
