public import CLinux
public import SystemPackage

/// Sole owner of one file descriptor, which is closed when the owner ends.
public struct Descriptor: ~Copyable, Sendable {
    /// The kernel's number, valid while this owner lives. For system calls only; never close it.
    public let number: Int32

    /// Takes over a descriptor that nobody else will close.
    public init(owning number: Int32) {
        precondition(number >= 0, "a descriptor number is never negative")
        self.number = number
    }

    deinit { _ = close(number) }

    /// Gives the descriptor away: whoever takes the number must close it.
    public consuming func release() -> Int32 {
        let number = self.number
        discard self
        return number
    }

    /// A second descriptor for the same open file description, closed on exec.
    public borrowing func duplicate() throws(Errno) -> Descriptor {
        Descriptor(owning: try check(usl_fcntl(number, F_DUPFD_CLOEXEC, 0)))
    }

    /// Sets or clears `O_NONBLOCK` on the open file description, which every copy shares.
    public borrowing func setNonBlocking(_ nonBlocking: Bool) throws(Errno) {
        let flags = try check(usl_fcntl(number, F_GETFL, 0))
        _ = try check(usl_fcntl(number, F_SETFL, nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK))
    }
}

/// The result of a system call, or its errno as an error.
@inlinable
@discardableResult
public func check<Result: SignedInteger>(_ result: Result) throws(Errno) -> Result {
    if result < 0 { throw Errno(rawValue: usl_errno()) }
    return result
}

/// Repeats a system call for as long as a signal interrupts it (`EINTR`), then checks its result.
@inlinable
@discardableResult
public func retrying<Result: SignedInteger>(_ call: () -> Result) throws(Errno) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = usl_errno()
        if code != EINTR { throw Errno(rawValue: code) }
    }
}
