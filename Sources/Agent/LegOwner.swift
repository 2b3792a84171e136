import Interception
import Kernel

/// Whether a leg is the socket that it is expected to be.
///
/// Its address alone does not say so. A program that has set `SO_REUSEADDR` before it connects lets every other socket with that
/// option bind to the same address, whichever user has it (in the kernel, inet_bind_conflict), and the first of the two to
/// connect is there first. So the kernel is asked which socket is at the other end.
final class LegOwner {
    /// nil where the kernel cannot be asked: then the address has to do.
    private let diagnosis: SocketDiagnosis?

    init() { diagnosis = try? SocketDiagnosis() }

    /// - Parameter listener: where the leg has arrived.
    func isRight(_ leg: borrowing Leg, at listener: SocketAddress, for expected: ExpectedLeg) -> Bool {
        guard diagnosis != nil else { return true }
        do {
            // One that is gone already, with a reset, has left nothing that could be trusted.
            switch expected.proof {
            case .cookie: return try diagnosis!.cookie(local: leg.application, remote: listener) == expected.cookie
            case .inode(let number): return try diagnosis!.inode(local: leg.application, remote: listener) == number
            case .address: return true
            case .none: return false
            }
        } catch {
            return true
        }
    }
}
