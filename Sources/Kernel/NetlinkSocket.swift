public import CLinux
public import SystemPackage

/// A conversation with a part of the kernel over netlink.
public struct NetlinkSocket: ~Copyable {
    /// Larger than any message: the kernel writes a dump in pieces of at most 32 KiB (in the kernel, netlink_dump).
    private static let datagramSize = 64 << 10

    public let descriptor: Descriptor

    /// - Parameters:
    ///   - family: `NETLINK_ROUTE` and the like, of this thread's network namespace.
    ///   - groups: whose messages come unasked.
    public init(_ family: Int32, groups: UInt32 = 0, nonBlocking: Bool = false) throws(Errno) {
        let flags = nonBlocking ? Int32(SOCK_NONBLOCK.rawValue) : 0
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | flags
        let descriptor = Descriptor(owning: try check(socket(AF_NETLINK, type, family)))
        let number = descriptor.number
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        address.nl_groups = groups
        try check(
            withUnsafeBytes(of: &address) {
                usl_bind(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
            })
        self.descriptor = descriptor
    }

    /// Sends without waiting for an answer.
    public borrowing func send(_ bytes: [UInt8]) throws(Errno) {
        let number = descriptor.number
        try check(bytes.withUnsafeBytes { CLinux.send(number, $0.baseAddress, $0.count, 0) })
    }

    /// Asks for something to be done, by one message or a batch of them, each with `NLM_F_ACK` and a sequence number of its own
    /// or without.
    ///
    /// - Parameter acknowledgements: how many of them the kernel acknowledges.
    /// - Throws: the first failure that it tells of.
    public borrowing func request(_ bytes: [UInt8], acknowledgements: Int) throws(Errno) {
        try send(bytes)
        var missing = acknowledgements
        while missing > 0 {
            var failure: Int32?
            try receive { header, payload in
                guard Int32(header.nlmsg_type) == NLMSG_ERROR, payload.byteCount >= 4 else { return }
                let code = payload.unsafeLoadUnaligned(as: Int32.self)
                if code != 0, failure == nil { failure = -code }
                missing -= 1
            }
            if let failure { throw Errno(rawValue: failure) }
        }
    }

    /// Reads one datagram of the kernel's, and gives each message in it.
    ///
    /// - Throws: `EAGAIN` where nothing waits and the descriptor does not block; `ENOBUFS` where messages were lost.
    public borrowing func receive(_ body: (nlmsghdr, RawSpan) -> Void) throws(Errno) {
        let number = descriptor.number
        try withUnsafeTemporaryAllocation(byteCount: Self.datagramSize, alignment: 8) { (buffer) throws(Errno) in
            var sender = sockaddr_nl()
            var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
            let count = try retrying {
                withUnsafeMutableBytes(of: &sender) {
                    usl_recvfrom(
                        number, buffer.baseAddress, buffer.count, 0,
                        $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
                }
            }
            // Only the kernel has port 0 (netlink(7)).
            guard sender.nl_pid == 0 else { return }
            Self.each(of: UnsafeRawBufferPointer(rebasing: buffer[..<count]).bytes, body)
        }
    }

    /// Gives each message of a datagram with what is behind its header. One that is cut short, and what follows, is skipped.
    static func each(of datagram: RawSpan, _ body: (nlmsghdr, RawSpan) -> Void) {
        let headerSize = MemoryLayout<nlmsghdr>.size
        var rest = datagram
        while rest.byteCount >= headerSize {
            let header = rest.unsafeLoadUnaligned(as: nlmsghdr.self)
            let length = Int(header.nlmsg_len)
            guard length >= headerSize, length <= rest.byteCount else { return }
            body(header, rest.extracting(headerSize..<length))
            // Messages begin at multiples of four bytes (netlink(3)).
            rest = rest.extracting(last: max(0, rest.byteCount - (length + 3) & ~3))
        }
    }
}
