import CLinux

/// socket(2) of the application: under `--transport mptcp` a TCP socket becomes one of Multipath TCP, where the kernel has it.
@c(socket)
public func interposedSocket(_ domain: Int32, _ type: Int32, _ protocolNumber: Int32) -> Int32 {
    guard wantsMultipath, isTCP(domain, type, protocolNumber) else { return nextSocket(domain, type, protocolNumber) }
    let errnoBefore = usl_errno()
    let multipath = nextSocket(domain, type, Int32(IPPROTO_MPTCP))
    guard multipath < 0 else { return multipath }
    usl_set_errno(errnoBefore)
    return nextSocket(domain, type, protocolNumber)
}

private func isTCP(_ domain: Int32, _ type: Int32, _ protocolNumber: Int32) -> Bool {
    // SOCK_TYPE_MASK of the kernel; above it are SOCK_NONBLOCK and SOCK_CLOEXEC.
    (domain == AF_INET || domain == AF_INET6) && type & 0xf == Int32(SOCK_STREAM.rawValue)
        && (protocolNumber == 0 || protocolNumber == Int32(IPPROTO_TCP))
}
