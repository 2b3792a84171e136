import CLinux
public import SystemPackage

/// getsockopt(2) and setsockopt(2) for values of fixed size.
public enum SocketOption {
    public static func read<Value: BitwiseCopyable>(
        _ level: Int32, _ name: Int32, of socket: Int32, initial: Value
    ) throws(Errno) -> Value {
        var value = initial
        var length = socklen_t(MemoryLayout<Value>.size)
        try check(getsockopt(socket, level, name, &value, &length))
        return value
    }

    public static func set<Value: BitwiseCopyable>(
        _ level: Int32, _ name: Int32, of socket: Int32, to value: Value
    ) throws(Errno) {
        var value = value
        try check(setsockopt(socket, level, name, &value, socklen_t(MemoryLayout<Value>.size)))
    }

    /// Whether this is a socket of Multipath TCP, whatever its connection has come to.
    public static func isMultipath(_ socket: Int32) throws(Errno) -> Bool {
        try read(SOL_SOCKET, SO_PROTOCOL, of: socket, initial: Int32(0)) == Int32(IPPROTO_MPTCP)
    }

    /// Leaves the choice of a port to connect(2), or to bind(2). Multipath TCP learned of it late (Linux 6.9); without it, bind(2) chooses.
    public static func setBindsLater(_ later: Bool, of socket: Int32) throws(Errno) {
        do throws(Errno) {
            try set(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, of: socket, to: Int32(later ? 1 : 0))
        } catch .notSupportedOnSocket {}
    }

    /// Whether bind(2) leaves the choice of a port to connect(2).
    public static func bindsLater(_ socket: Int32) throws(Errno) -> Bool {
        do throws(Errno) {
            return try read(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, of: socket, initial: Int32(0)) != 0
        } catch .notSupportedOnSocket {
            return false
        }
    }

    /// Takes `TCP_FASTOPEN_CONNECT` away, by which no SYN may leave before the first write (tcp(7)): a leg is waited for.
    public static func connectAtOnce(_ socket: Int32) {
        let isSet = (try? read(Int32(IPPROTO_TCP), TCP_FASTOPEN_CONNECT, of: socket, initial: Int32(0))) != 0
        if isSet { try? set(Int32(IPPROTO_TCP), TCP_FASTOPEN_CONNECT, of: socket, to: Int32(0)) }
    }

    /// Selects reno where the kernel has it: with bbr, the usual default, loopback carries a third of what reno does.
    public static func setReno(of socket: Int32) {
        let name = "reno"
        _ = setsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, name, socklen_t(name.utf8.count))
    }
}
