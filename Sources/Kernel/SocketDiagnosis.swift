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

    /// A UDP socket that is bound, and not connected.
    public struct DatagramSocketState: Equatable, Sendable {
        public let local: SocketAddress
        /// Whether one of IPv6 hears from IPv4 as well.
        public let isDual: Bool
    }

    /// All such sockets of a family.
    public borrowing func unconnectedDatagramSockets(family: Int32) throws(Errno) -> [DatagramSocketState] {
        var question = inet_diag_req_v2()
        question.sdiag_family = UInt8(family)
        question.sdiag_protocol = UInt8(IPPROTO_UDP)
        // TCP_CLOSE of the kernel's states, which UDP's sockets have as well.
        question.idiag_states = 1 << 7
        question.id.idiag_cookie = (.max, .max)
        var request = NetlinkMessage(type: UInt16(SOCK_DIAG_BY_FAMILY), flags: NLM_F_DUMP)
        request.append(question)
        try netlink.send(request.bytes)
        var found: [DatagramSocketState] = []
        var isDone = false
        // A dump is made as it is read.
        while !isDone {
            try netlink.receive { header, payload in
                switch Int32(header.nlmsg_type) {
                case NLMSG_DONE, NLMSG_ERROR: isDone = true
                default: if let state = Self.state(payload, family) { found.append(state) }
                }
            }
        }
        return found
    }

    private static func state(_ payload: RawSpan, _ family: Int32) -> DatagramSocketState? {
        guard payload.byteCount >= MemoryLayout<inet_diag_msg>.size else { return nil }
        let message = payload.unsafeLoadUnaligned(as: inet_diag_msg.self)
        let host: SocketAddress.Host = withUnsafeBytes(of: message.id.idiag_src) { source in
            if family == AF_INET { return .v4(UInt32(bigEndian: source.loadUnaligned(as: UInt32.self))) }
            return .v6(
                high: UInt64(bigEndian: source.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: source.loadUnaligned(fromByteOffset: 8, as: UInt64.self)), scope: 0)
        }
        var isDual = false
        payload.eachAttribute(behind: MemoryLayout<inet_diag_msg>.size) { type, value in
            // INET_DIAG_SKV6ONLY (linux/inet_diag.h).
            if type == 11, value.byteCount >= 1 { isDual = value.unsafeLoad(as: UInt8.self) == 0 }
        }
        return DatagramSocketState(
            local: SocketAddress(host: host, port: UInt16(bigEndian: message.id.idiag_sport)), isDual: isDual)
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
