public import CLinux

/// The filter of a program whose connect(2) is made by a supervisor, and of all its descendants.
public enum ConnectTrap {
    /// Traps connect(2), of which only the supervisor can see what kind of socket it is about; the calls that tell what a socket is
    /// connected with; and listen(2). Data with a SYN, and io_uring, which connects past every filter, are not there.
    public static var filter: [sock_filter] {
        [
            .architecture,
            .jump(ifEqual: UInt32(USL_AUDIT_ARCH), 0, 9),
            .number,
            .jump(ifEqual: UInt32(SYS_connect), 8, 0),
            .jump(ifEqual: UInt32(SYS_getpeername), 7, 0),
            .jump(ifEqual: UInt32(SYS_getsockname), 6, 0),
            .jump(ifEqual: UInt32(SYS_listen), 5, 0),
            .jump(ifEqual: UInt32(SYS_sendto), 6, 0),
            .jump(ifEqual: UInt32(SYS_sendmmsg), 5, 0),
            .jump(ifEqual: UInt32(SYS_sendmsg), 6, 0),
            .jump(ifEqual: UInt32(SYS_io_uring_setup), 2, 0),
            .pass,
            .ask,
            .fail(ENOSYS),
            .argument(3),
            .jump(ifEqual: 0, 4, 1),
            .argument(2),
            .and(UInt32(MSG_FASTOPEN)),
            .jump(ifEqual: 0, 1, 0),
            // As where net.ipv4.tcp_fastopen does not allow it: programs then connect first.
            .fail(EOPNOTSUPP),
            .pass,
        ]
    }
}
