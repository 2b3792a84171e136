import CLinux
public import Kernel
public import SystemPackage

/// By what a front knows an in-band probe from ordinary clients before it has relayed anything: its SYN announces a segment size
/// that nothing else does. Ordinary servers send smaller segments then, if they send any, and notice nothing.
///
/// That the end of the stream comes with the third packet does not tell it: an ordinary client's does too when its second packet,
/// which has nothing but an acknowledgement, is lost; and a prober that is not scheduled in time sends that packet after all.
public enum ProbeMark {
    /// Bytes (`TCP_MAXSEG`). Below what any interface gives (RFC 791 lets one have as few as 68, IPv6 wants 1280; Ethernet gives
    /// 1460), and none of the sizes that stacks assume (536, RFC 9293, 3.7.1).
    static let segmentSize = 711
    /// What the timestamps option takes from each segment (RFC 7323, appendix A).
    private static let timestampBytes = 12
    private static let hasTimestamps: UInt8 = 1

    /// Starts to connect, so that a front knows it for a probe.
    public static func dial(_ destination: SocketAddress) throws(Errno) -> TCPSocket {
        let socket = try TCPSocket(family: destination.family)
        try socket.setOption(Int32(IPPROTO_TCP), TCP_MAXSEG, Int32(segmentSize))
        // The acknowledgement of the handshake then waits for the end of the stream and travels with it (tcp(7); in the kernel,
        // tcp_rcv_synsent_state_process): a packet less, and the front has all when it accepts.
        try socket.setOption(Int32(IPPROTO_TCP), TCP_QUICKACK, 0)
        try socket.connect(to: destination)
        return socket
    }

    /// Whether the peer of an accepted connection has announced the size. Not when the kernel answered with SYN cookies, which keep
    /// no such size: the probe is an ordinary client then.
    public static func isOn(_ socket: borrowing TCPSocket) -> Bool {
        guard let info = try? socket.info() else { return false }
        let size = Int(info.snd_mss) + (info.options & hasTimestamps != 0 ? timestampBytes : 0)
        return size == segmentSize
    }
}
