public import CLinux
public import SystemPackage

/// Asks the kernel about sockets of this network namespace by their addresses, whoever has them (sock_diag(7)).
public struct SocketDiagnosis: ~Copyable {
    /// One answer has less.
    private static let answerSize = 4096

    private let descriptor: Descriptor

    /// - Throws: `EPROTONOSUPPORT` and the like where the kernel has no such interface.
    public init() throws(Errno) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        descriptor = Descriptor(owning: try check(CLinux.socket(AF_NETLINK, type, NETLINK_SOCK_DIAG)))
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
        var request = (nlmsghdr(), inet_diag_req_v2())
        let length = MemoryLayout<nlmsghdr>.size + MemoryLayout<inet_diag_req_v2>.size
        request.0.nlmsg_len = UInt32(length)
        request.0.nlmsg_type = UInt16(SOCK_DIAG_BY_FAMILY)
        request.0.nlmsg_flags = UInt16(NLM_F_REQUEST)
        request.1.sdiag_family = UInt8(local.family)
        request.1.sdiag_protocol = UInt8(transport)
        request.1.idiag_states = .max
        request.1.id.idiag_sport = local.port.bigEndian
        request.1.id.idiag_dport = remote.port.bigEndian
        withUnsafeMutableBytes(of: &request.1.id.idiag_src) { Self.store(local.host, $0) }
        withUnsafeMutableBytes(of: &request.1.id.idiag_dst) { Self.store(remote.host, $0) }
        // INET_DIAG_NOCOOKIE: any.
        request.1.id.idiag_cookie = (.max, .max)
        let number = descriptor.number
        try check(withUnsafeBytes(of: &request) { send(number, $0.baseAddress, length, 0) })
        return try Self.answer(from: number)
    }

    private static func store(_ host: SocketAddress.Host, _ room: UnsafeMutableRawBufferPointer) {
        switch host {
        case .v4(let address): room.storeBytes(of: address.bigEndian, as: UInt32.self)
        case .v6(let high, let low, _):
            // Aligned to four bytes in the message.
            withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { room.copyMemory(from: $0) }
        }
    }

    private static func answer(from number: Int32) throws(Errno) -> inet_diag_msg? {
        try withUnsafeTemporaryAllocation(byteCount: answerSize, alignment: 8) { (buffer) throws(Errno) in
            let count = try retrying { recv(number, buffer.baseAddress, buffer.count, 0) }
            let body = UnsafeRawBufferPointer(rebasing: buffer[..<max(0, count)])
            let headerSize = MemoryLayout<nlmsghdr>.size
            guard body.count >= headerSize else { throw .badMessage }
            let header = body.loadUnaligned(as: nlmsghdr.self)
            if Int32(header.nlmsg_type) == NLMSG_ERROR {
                guard body.count >= headerSize + MemoryLayout<Int32>.size else { throw .badMessage }
                let code = -body.loadUnaligned(fromByteOffset: headerSize, as: Int32.self)
                if code == ENOENT { return nil }
                throw Errno(rawValue: code)
            }
            guard body.count >= headerSize + MemoryLayout<inet_diag_msg>.size else { throw .badMessage }
            return body.loadUnaligned(fromByteOffset: headerSize, as: inet_diag_msg.self)
        }
    }
}
