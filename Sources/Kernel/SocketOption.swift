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

    /// Selects reno where the kernel has it: with bbr, the usual default, loopback carries a third of what reno does.
    public static func setReno(of socket: Int32) {
        let name = "reno"
        _ = setsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, name, socklen_t(name.utf8.count))
    }
}
