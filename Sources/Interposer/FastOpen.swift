import CLinux

/// `MSG_FASTOPEN`: send(2) that connects (tcp(7)).
var fastOpen: Int32 { Int32(MSG_FASTOPEN) }

/// The connect(2) in a send(2) with `MSG_FASTOPEN`, by way of USL. The data then follow the handshake, as they do where the kernel has
/// no cookie of the destination yet.
///
/// - Returns: what connect(2) returns, with its errno: `EINPROGRESS`, and nothing sent, where it does not wait. nil if the call does not
///   concern USL: then it is the kernel's.
@inline(never)
func connectForSending(
    _ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t, _ flags: Int32
) -> Int32? {
    let errnoBefore = usl_errno()
    guard agentAddress.sun_family != 0, let asked = internetAddress(address, length), isUnconnectedTCP(socket, asked)
    else {
        usl_set_errno(errnoBefore)
        return nil
    }
    let mode = usl_fcntl(socket, F_GETFL, 0)
    guard flags & Int32(MSG_DONTWAIT) != 0, mode & O_NONBLOCK == 0 else {
        return interposedConnect(socket, address, length)
    }
    _ = usl_fcntl(socket, F_SETFL, mode | O_NONBLOCK)
    let result = interposedConnect(socket, address, length)
    let code = usl_errno()
    _ = usl_fcntl(socket, F_SETFL, mode)
    usl_set_errno(code)
    return result
}
