import CLinux

/// How a process ended.
public enum Termination: Hashable, Sendable {
    /// It called `exit` with this status, 0 to 255.
    case exited(UInt8)
    /// This signal killed it.
    case signaled(Int32)

    public static let success = Termination.exited(0)

    /// Decodes a status of waitpid(2); nil if the process has only stopped or continued.
    public init?(waitStatus: Int32) {
        if usl_wifexited(waitStatus) != 0 {
            self = .exited(UInt8(truncatingIfNeeded: usl_wexitstatus(waitStatus)))
        } else if usl_wifsignaled(waitStatus) != 0 {
            self = .signaled(usl_wtermsig(waitStatus))
        } else {
            return nil
        }
    }
}
