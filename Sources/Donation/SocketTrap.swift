import CLinux
import Trapping

/// The seccomp filter of a program that gets donated sockets, and of all its descendants (seccomp(2)).
///
/// It decides on numbers that the kernel hands over by value: family, type and protocol of socket(2). Nothing is read from the
/// program's memory, so that nothing can change between the look and the call.
public enum SocketTrap {
    /// Traps socket(2) for TCP over IPv4 and IPv6, and listen(2). io_uring, which makes sockets past every filter, is not there.
    ///
    /// - Parameter withDatagrams: traps socket(2) for UDP as well.
    public static func donation(withDatagrams: Bool) -> [sock_filter] {
        [
            .architecture,
            .jump(ifEqual: UInt32(USL_AUDIT_ARCH), 1, 0),
            .pass,
            .number,
            .jump(ifEqual: UInt32(SYS_socket), 5, 0),
            .jump(ifEqual: UInt32(SYS_listen), 2, 0),
            .jump(ifEqual: UInt32(SYS_io_uring_setup), 2, 0),
            .pass,
            .ask,
            .fail(ENOSYS),
            .argument(0),
            .jump(ifEqual: UInt32(AF_INET), 1, 0),
            .jump(ifEqual: UInt32(AF_INET6), 0, 7),
            .argument(1),
            // SOCK_TYPE_MASK of the kernel: the rest are flags.
            .and(0xf),
            .jump(ifEqual: UInt32(SOCK_STREAM.rawValue), 0, withDatagrams ? 6 : 4),
            .argument(2),
            .jump(ifEqual: 0, 3, 0),
            .jump(ifEqual: UInt32(IPPROTO_TCP), 2, 0),
            .jump(ifEqual: UInt32(IPPROTO_MPTCP), 1, 0),
            .pass,
            .ask,
        ]
            + (withDatagrams
                ? [
                    .jump(ifEqual: UInt32(SOCK_DGRAM.rawValue), 0, 3),
                    .argument(2),
                    .jump(ifEqual: 0, 2, 0),
                    .jump(ifEqual: UInt32(IPPROTO_UDP), 1, 0),
                    .pass,
                    .ask,
                ] : [])
    }
}
