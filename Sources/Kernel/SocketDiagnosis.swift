public import CLinux
public import SystemPackage

/// Asks the kernel about sockets of this network namespace by their addresses, whoever has them (sock_diag(7)).
public struct SocketDiagnosis: ~Copyable {
    private let netlink: NetlinkSocket

    /// - Throws: `EPROTONOSUPPORT` and the like where the kernel has no such interface.
    public init() throws(Errno) {
        netlink = try NetlinkSocket(NETLINK_SOCK_DIAG, nonBlocking: true)
    }

    /// The identity of the socket with these addresses, as `SO_COOKIE` tells it; nil if there is none. The kernel keeps it
    /// when the socket's program has closed it, through TIME_WAIT. It answers while it is asked: nothing is waited for.
    ///
    /// - Parameters:
    ///   - local: the socket's own address.
    ///   - remote: the other end's, of the same family.
    /// - Throws: where the kernel cannot be asked about this protocol.
    public borrowing func cookie(local: SocketAddress, remote: SocketAddress) throws(Errno) -> UInt64? {
        guard let (low, high) = try socket(IPPROTO_TCP, local, remote)?.id.idiag_cookie else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    /// The number of the inode of the TCP socket with these addresses, as fstat(2) tells it; 0 if its program has closed it, in
    /// kernels before 6.17, and nil if there is no such socket. The other parameters as of ``cookie(local:remote:)``.
    public borrowing func inode(local: SocketAddress, remote: SocketAddress) throws(Errno) -> UInt32? {
        try socket(IPPROTO_TCP, local, remote)?.idiag_inode
    }

    /// The user who has the UDP socket that a datagram from `remote` to `local` reaches, connected or not; nil if there is none.
    public borrowing func datagramOwner(local: SocketAddress, remote: SocketAddress) throws(Errno) -> uid_t? {
        // The kernel takes what it is told for the datagram's addresses (udp_dump_one: "swapped for historical reasons").
        try socket(IPPROTO_UDP, remote, local)?.idiag_uid
    }

    private borrowing func socket(
        _ transport: some BinaryInteger, _ local: SocketAddress, _ remote: SocketAddress
    ) throws(Errno) -> inet_diag_msg? {
        var question = inet_diag_req_v2()
        question.sdiag_family = UInt8(local.family)
        question.sdiag_protocol = UInt8(transport)
        question.idiag_states = .max
        question.id.idiag_sport = local.port.bigEndian
        question.id.idiag_dport = remote.port.bigEndian
        withUnsafeMutableBytes(of: &question.id.idiag_src) { Self.store(local.host, $0) }
        withUnsafeMutableBytes(of: &question.id.idiag_dst) { Self.store(remote.host, $0) }
        // INET_DIAG_NOCOOKIE: any.
        question.id.idiag_cookie = (.max, .max)
        var request = NetlinkMessage(type: UInt16(SOCK_DIAG_BY_FAMILY))
        request.append(question)
        try netlink.send(request.bytes)
        return try answer()
    }

    private static func store(_ host: SocketAddress.Host, _ room: UnsafeMutableRawBufferPointer) {
        switch host {
        case .v4(let address): room.storeBytes(of: address.bigEndian, as: UInt32.self)
        case .v6(let high, let low, _):
            // Aligned to four bytes in the message.
            withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { room.copyMemory(from: $0) }
        }
    }

    private borrowing func answer() throws(Errno) -> inet_diag_msg? {
        var found: inet_diag_msg?
        var failure: Int32?
        try netlink.receive { header, payload in
            if Int32(header.nlmsg_type) == NLMSG_ERROR, payload.byteCount >= MemoryLayout<Int32>.size {
                failure = -payload.unsafeLoadUnaligned(as: Int32.self)
            } else if payload.byteCount >= MemoryLayout<inet_diag_msg>.size {
                found = payload.unsafeLoadUnaligned(as: inet_diag_msg.self)
            }
        }
        if failure == ENOENT { return nil }
        if let failure { throw Errno(rawValue: failure) }
        guard let found else { throw .badMessage }
        return found
    }
}
