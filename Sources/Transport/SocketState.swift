public import CLinux
import Kernel
public import SystemPackage

extension TCPSocket {
    // MARK: - Endings

    /// Sends the FIN after everything written so far. Reading goes on.
    public func shutdownSending() throws(Errno) { try check(shutdown(number, Int32(SHUT_WR))) }

    /// What `close` does, by whichever process closes the last copy: with `true` it resets the connection at once and
    /// drops what is unsent (`SO_LINGER {1, 0}`), with `false` it ends the stream in order.
    public func setResetOnClose(_ resets: Bool) throws(Errno) {
        var value = linger(l_onoff: resets ? 1 : 0, l_linger: 0)
        try check(setsockopt(number, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size)))
    }

    /// Resets the connection at once, also while another process holds a copy of the socket, which `close` would
    /// leave alive (connect(2): `AF_UNSPEC` dissolves the association; in the kernel, tcp_disconnect).
    public func abort() throws(Errno) {
        var unspecified = sockaddr()
        unspecified.sa_family = sa_family_t(AF_UNSPEC)
        try check(usl_connect(number, &unspecified, socklen_t(MemoryLayout<sockaddr>.size)))
    }

    /// Takes the pending error (`SO_ERROR`), which the kernel reports once.
    public func takeError() throws(Errno) -> Errno? {
        let code = try option(SOL_SOCKET, SO_ERROR)
        return code == 0 ? nil : Errno(rawValue: code)
    }

    // MARK: - Queues and counters

    /// Bytes that have arrived and wait to be read (`SIOCINQ`). A FIN is not counted.
    public func unreadBytes() throws(Errno) -> Int {
        var count: Int32 = 0
        try check(usl_ioctl_int(number, usl_siocinq(), &count))
        return Int(count)
    }

    /// Bytes written that the peer's TCP has not acknowledged, sent or not (`SIOCOUTQ`). A FIN is counted as a byte.
    public func unacknowledgedBytes() throws(Errno) -> Int {
        var count: Int32 = 0
        try check(usl_ioctl_int(number, usl_siocoutq(), &count))
        return Int(count)
    }

    /// The kernel's view of the connection (`TCP_INFO`). Fields that this kernel does not have are 0.
    public func info() throws(Errno) -> usl_tcp_info {
        var info = usl_tcp_info()
        var length = socklen_t(MemoryLayout<usl_tcp_info>.size)
        try check(getsockopt(number, Int32(IPPROTO_TCP), TCP_INFO, &info, &length))
        return info
    }

    // MARK: - Options

    /// Leaves urgent bytes in the stream (tcp(7)). Otherwise the kernel counts them as received but `read` never
    /// returns them, and positions would not add up.
    public func keepUrgentBytesInline() throws(Errno) { try setOption(SOL_SOCKET, SO_OOBINLINE, 1) }

    /// Sets an integer option.
    func setOption(_ level: Int32, _ name: Int32, _ value: Int32) throws(Errno) {
        var value = value
        try check(setsockopt(number, level, name, &value, socklen_t(MemoryLayout<Int32>.size)))
    }

    /// Reads an integer option.
    func option(_ level: Int32, _ name: Int32) throws(Errno) -> Int32 {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check(getsockopt(number, level, name, &value, &length))
        return value
    }
}
