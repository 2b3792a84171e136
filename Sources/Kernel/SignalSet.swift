public import CLinux

/// A set of signals (sigsetops(3)).
public struct SignalSet: Sendable {
    public private(set) var value: sigset_t

    public init(_ signals: [Int32] = []) {
        value = sigset_t()
        sigemptyset(&value)
        for signal in signals { sigaddset(&value, signal) }
    }

    /// Every signal, but for those that the C library keeps to itself.
    public static var all: SignalSet {
        var set = SignalSet()
        sigfillset(&set.value)
        return set
    }

    /// The signals that the calling thread has blocked.
    public static var blocked: SignalSet {
        var set = SignalSet()
        pthread_sigmask(SIG_BLOCK, nil, &set.value)
        return set
    }

    public mutating func insert(_ signal: Int32) { sigaddset(&value, signal) }
    public mutating func remove(_ signal: Int32) { sigdelset(&value, signal) }

    public func contains(_ signal: Int32) -> Bool {
        withUnsafePointer(to: value) { sigismember($0, signal) == 1 }
    }

    /// Adds these signals to the calling thread's signal mask.
    public func block() {
        withUnsafePointer(to: value) { _ = pthread_sigmask(SIG_BLOCK, $0, nil) }
    }

    /// Makes this set the calling thread's signal mask.
    public func setAsMask() {
        withUnsafePointer(to: value) { _ = pthread_sigmask(SIG_SETMASK, $0, nil) }
    }
}
