import CLinux
public import SystemPackage

/// Tells when interfaces, addresses or routes change (rtnetlink(7)).
public struct NetworkMonitor: ~Copyable {
    /// Larger than any message: the kernel writes a dump in pieces of at most 32 KiB (in the kernel, netlink_dump).
    private static let datagramSize = 64 << 10
    /// Room for some thousand messages. Beyond that the kernel drops them and says so.
    private static let queueSize: Int32 = 1 << 20
    private static let groups =
        RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE
        | RTMGRP_IPV4_RULE | Int32(1) << (Int32(RTNLGRP_IPV6_RULE.rawValue) - 1)

    /// Readable when something may have changed. Does not block.
    public let descriptor: Descriptor
    /// How things are, as of the last ``update()``.
    public private(set) var state: NetworkState

    public init() throws(Errno) {
        let socket = try Self.socket(groups: UInt32(Self.groups), flags: Int32(SOCK_NONBLOCK.rawValue))
        var size = Self.queueSize
        // Cut to net.core.rmem_max, which is not an error (socket(7)).
        try check(setsockopt(socket.number, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size)))
        // Behind the subscription, so that a change is in the dump, or in a message that follows it, or in both.
        state = try Self.dump()
        descriptor = socket
    }

    /// Takes what has been told since.
    ///
    /// - Returns: whether links may be concerned.
    public mutating func update() throws(Errno) -> Bool {
        var hasChanged = false
        while true {
            do {
                var state = state
                try Self.receive(from: descriptor) { hasChanged = state.apply($0) || hasChanged }
                self.state = state
            } catch .wouldBlock {
                return hasChanged
            } catch .noBufferSpace {
                // Messages were dropped: everything may have changed.
                state = try Self.dump()
                hasChanged = true
            }
        }
    }

    /// Asks for all interfaces and addresses, and waits for the answer, which the kernel has ready.
    private static func dump() throws(Errno) -> NetworkState {
        let socket = try socket(groups: 0, flags: 0)
        // A kernel without memory for its answer must not stop everything else (recv(2) then says EAGAIN).
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        try check(
            setsockopt(
                socket.number, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size)))
        var state = NetworkState()
        for type in [RTM_GETLINK, RTM_GETADDR] {
            try request(Int(type), over: socket)
            var end: RouteMessage?
            while end == nil {
                try receive(from: socket) { message in
                    switch message {
                    case .done, .failed: end = message
                    default: _ = state.apply(message)
                    }
                }
            }
            if case .failed(let code) = end { throw Errno(rawValue: code) }
        }
        return state
    }

    private static func socket(groups: UInt32, flags: Int32) throws(Errno) -> Descriptor {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | flags
        let descriptor = Descriptor(owning: try check(CLinux.socket(AF_NETLINK, type, NETLINK_ROUTE)))
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        address.nl_groups = groups
        try check(
            withUnsafeBytes(of: &address) {
                usl_bind(
                    descriptor.number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
            })
        return descriptor
    }

    private static func request(_ type: Int, over socket: borrowing Descriptor) throws(Errno) {
        var request = (nlmsghdr(), rtgenmsg())
        let length = MemoryLayout<nlmsghdr>.size + MemoryLayout<rtgenmsg>.size
        request.0.nlmsg_len = UInt32(length)
        request.0.nlmsg_type = UInt16(type)
        request.0.nlmsg_flags = UInt16(NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH)
        request.1.rtgen_family = UInt8(AF_UNSPEC)
        try check(withUnsafeBytes(of: &request) { send(socket.number, $0.baseAddress, length, 0) })
    }

    /// Reads one datagram.
    private static func receive(from socket: borrowing Descriptor, _ body: (RouteMessage) -> Void) throws(Errno) {
        try withUnsafeTemporaryAllocation(byteCount: datagramSize, alignment: 8) { (buffer) throws(Errno) in
            var sender = sockaddr_nl()
            var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
            let number = socket.number
            let count = try retrying {
                withUnsafeMutableBytes(of: &sender) {
                    usl_recvfrom(
                        number, buffer.baseAddress, buffer.count, 0,
                        $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
                }
            }
            // Only the kernel has port 0 (netlink(7)).
            guard sender.nl_pid == 0 else { return }
            RouteMessage.each(of: UnsafeRawBufferPointer(rebasing: buffer[..<count]).bytes, body)
        }
    }
}
