import CLinux
public import SystemPackage

/// Tells when interfaces, addresses or routes change (rtnetlink(7)).
public struct NetworkMonitor: ~Copyable {
    /// Room for some thousand messages. Beyond that the kernel drops them and says so.
    private static let queueSize: Int32 = 1 << 20
    private static let groups =
        RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE
        | RTMGRP_IPV4_RULE | Int32(1) << (Int32(RTNLGRP_IPV6_RULE.rawValue) - 1)

    /// Readable when something may have changed. Does not block.
    public let socket: NetlinkSocket
    /// How things are, as of the last ``update()``.
    public private(set) var state: NetworkState

    public init() throws(Errno) {
        let socket = try NetlinkSocket(NETLINK_ROUTE, groups: UInt32(Self.groups), nonBlocking: true)
        // Cut to net.core.rmem_max, which is not an error (socket(7)).
        try SocketOption.set(SOL_SOCKET, SO_RCVBUF, of: socket.descriptor.number, to: Self.queueSize)
        // Behind the subscription, so that a change is in the dump, or in a message that follows it, or in both.
        state = try Self.dump()
        self.socket = socket
    }

    /// Takes what has been told since.
    ///
    /// - Returns: whether links may be concerned.
    public mutating func update() throws(Errno) -> Bool {
        var hasChanged = false
        while true {
            do {
                var state = state
                try Self.receive(from: socket) { hasChanged = state.apply($0) || hasChanged }
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
        let socket = try NetlinkSocket(NETLINK_ROUTE)
        // A kernel without memory for its answer must not stop everything else (recv(2) then says EAGAIN).
        let patience = timeval(tv_sec: 1, tv_usec: 0)
        try SocketOption.set(SOL_SOCKET, SO_RCVTIMEO, of: socket.descriptor.number, to: patience)
        var state = NetworkState()
        for type in [RTM_GETLINK, RTM_GETADDR] {
            var request = NetlinkMessage(type: UInt16(type), flags: NLM_F_ROOT | NLM_F_MATCH)
            request.append(rtgenmsg(rtgen_family: UInt8(AF_UNSPEC)))
            try socket.send(request.bytes)
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

    /// Reads one datagram.
    private static func receive(
        from socket: borrowing NetlinkSocket, _ body: (RouteMessage) -> Void
    ) throws(Errno) {
        try socket.receive { header, payload in
            if let message = RouteMessage(type: header.nlmsg_type, payload) { body(message) }
        }
    }
}
