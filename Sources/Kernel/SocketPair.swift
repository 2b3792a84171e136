import CLinux
public import SystemPackage

/// Two connected Unix sockets that keep message boundaries (`SOCK_SEQPACKET`, unix(7)): a read at one end is a message
/// of the other, or end of file once nobody holds the other any more.
public struct SocketPair: ~Copyable, Sendable {
    public let first: Descriptor
    public let second: Descriptor

    /// - Parameter nonBlocking: whether reading and writing fail with `wouldBlock` instead of waiting.
    public init(nonBlocking: Bool) throws(Errno) {
        let type = SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | (nonBlocking ? SOCK_NONBLOCK.rawValue : 0)
        var ends: [Int32] = [-1, -1]
        try check(socketpair(AF_UNIX, Int32(type), 0, &ends))
        first = Descriptor(owning: ends[0])
        second = Descriptor(owning: ends[1])
    }

    /// Keeps the first end and closes the second, as one of two processes does after fork(2).
    public consuming func keepFirst() -> Descriptor { first }
    /// Keeps the second end and closes the first.
    public consuming func keepSecond() -> Descriptor { second }
}
