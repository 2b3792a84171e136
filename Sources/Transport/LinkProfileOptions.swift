import CLinux
import Kernel
import SessionProtocol
public import SystemPackage

extension LinkProfile {
    /// Sets every option of the profile, and reads it back, since kernels accept some that they ignore.
    ///
    /// - Returns: the names of the options without effect here, for the log; a connection works without any of them.
    /// - Throws: what is wrong with the socket itself.
    @discardableResult
    public func apply(to socket: borrowing TCPSocket) throws(Errno) -> [String] {
        let tcp = Int32(IPPROTO_TCP)
        var missing: [String] = []
        try socket.set("TCP_NODELAY", tcp, TCP_NODELAY, 1, &missing)
        if let congestionControl, try !socket.setCongestionControl(congestionControl) {
            missing.append("TCP_CONGESTION \(congestionControl)")
        }
        if let unsentLimit {
            try socket.set("TCP_NOTSENT_LOWAT", tcp, TCP_NOTSENT_LOWAT, Int32(clamping: unsentLimit), &missing)
        }
        if let minimumRetransmission {
            let microseconds = Int32(clamping: minimumRetransmission.nanoseconds / 1_000)
            // Read back in whole ticks of the kernel's clock, of at most 10 ms.
            try socket.set(
                "TCP_RTO_MIN_US", tcp, Int32(USL_TCP_RTO_MIN_US), microseconds, slack: 10_000, &missing)
        }
        if let maximumRetransmission {
            try socket.set(
                "TCP_RTO_MAX_MS", tcp, Int32(USL_TCP_RTO_MAX_MS), maximumRetransmission.milliseconds,
                slack: 10, &missing)
        }
        if let userTimeout {
            try socket.set("TCP_USER_TIMEOUT", tcp, TCP_USER_TIMEOUT, userTimeout.milliseconds, &missing)
        }
        if let keepAlive {
            try socket.set("TCP_KEEPIDLE", tcp, TCP_KEEPIDLE, keepAlive.idle.seconds, &missing)
            try socket.set("TCP_KEEPINTVL", tcp, TCP_KEEPINTVL, keepAlive.between.seconds, &missing)
            try socket.set("TCP_KEEPCNT", tcp, TCP_KEEPCNT, Int32(clamping: keepAlive.count), &missing)
        }
        try socket.set("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, keepAlive == nil ? 0 : 1, &missing)
        // The kernel doubles these sizes, for its own overhead, and cuts them to net.core.[rw]mem_max (socket(7)).
        if let sendBuffer {
            let size = Int32(clamping: sendBuffer)
            try socket.set("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, size, slack: Int32(clamping: sendBuffer), &missing)
        }
        if let receiveBuffer {
            let size = Int32(clamping: receiveBuffer)
            try socket.set("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, size, slack: Int32(clamping: receiveBuffer), &missing)
        }
        return missing
    }
}

extension TCPSocket {
    /// Sets an option and adds its name to `missing` unless it reads back as a value from `value` to `value` + `slack`.
    fileprivate func set(
        _ optionName: String, _ level: Int32, _ name: Int32, _ value: Int32, slack: Int32 = 0,
        _ missing: inout [String]
    ) throws(Errno) {
        let effective = try Self.ifSupported { () throws(Errno) in
            try setOption(level, name, value)
            let actual = try option(level, name)
            return actual >= value && actual - value <= slack
        }
        if !effective { missing.append(optionName) }
    }

    /// False when the kernel lacks the algorithm, or keeps it for the privileged.
    fileprivate func setCongestionControl(_ algorithm: String) throws(Errno) -> Bool {
        try Self.ifSupported { () throws(Errno) in
            var wanted = algorithm
            let length = socklen_t(wanted.utf8.count)
            try check(
                wanted.withUTF8 { setsockopt(number, Int32(IPPROTO_TCP), TCP_CONGESTION, $0.baseAddress, length) })
            // TCP_CA_NAME_MAX in include/net/tcp.h.
            return try withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { (actual) throws(Errno) in
                var length = socklen_t(actual.count)
                try check(getsockopt(number, Int32(IPPROTO_TCP), TCP_CONGESTION, actual.baseAddress, &length))
                return actual.prefix(Int(length)).prefix { $0 != 0 }.elementsEqual(wanted.utf8)
            }
        }
    }

    /// False in place of the errors by which a kernel says that it does not do what an option asks.
    private static func ifSupported(_ body: () throws(Errno) -> Bool) throws(Errno) -> Bool {
        do throws(Errno) {
            return try body()
        } catch .protocolNotAvailable, .invalidArgument, .notPermitted, .noSuchFileOrDirectory {
            return false
        }
    }
}

extension Interval {
    fileprivate var milliseconds: Int32 { Int32(clamping: millisecondsRoundedUp) }
    fileprivate var seconds: Int32 { Int32(clamping: (nanoseconds + 999_999_999) / 1_000_000_000) }
}
