public import CLinux
public import SystemPackage

/// A conversation with a part of the kernel over netlink.
public struct NetlinkSocket: ~Copyable {
    /// More than any answer has; a dump comes in pieces of at most this (in the kernel, netlink_recvmsg).
    private static let datagramSize = 32 << 10

    public let descriptor: Descriptor

    /// - Parameter family: `NETLINK_ROUTE` and the like, of this thread's network namespace.
    public init(_ family: Int32) throws(Errno) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = Descriptor(owning: try check(socket(AF_NETLINK, type, family)))
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
            let count = try retrying { recv(number, buffer.baseAddress, buffer.count, 0) }
            var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count]).bytes
            let headerSize = MemoryLayout<nlmsghdr>.size
            while rest.byteCount >= headerSize {
                let header = rest.unsafeLoadUnaligned(as: nlmsghdr.self)
                let length = Int(header.nlmsg_len)
                guard length >= headerSize, length <= rest.byteCount else { return }
                body(header, rest.extracting(headerSize..<length))
                rest = rest.extracting(last: max(0, rest.byteCount - (length + 3) & ~3))
            }
        }
    }
}
