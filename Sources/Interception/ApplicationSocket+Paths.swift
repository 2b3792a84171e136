import CLinux
public import Kernel
public import SystemPackage

/// Taking the application's socket from one path to another.
extension ApplicationSocket {
    /// Whether its own attempt is under way: its SYN has had no answer.
    public var isConnecting: Bool {
        get throws(Errno) {
            // The first byte of struct tcp_info; TCP_SYN_SENT and TCP_SYN_RECV, linux/tcp_states.h.
            let state = try SocketOption.read(Int32(IPPROTO_TCP), TCP_INFO, of: number, initial: UInt8(0))
            return state == 2 || state == 3
        }
    }

    /// Whether the application has chosen its port, which no other socket can then have.
    public var hasOwnPort: Bool { bound.port != 0 }

    /// The address that the application has bound it to, never IPv4-mapped; nil if it has not.
    public var boundHost: SocketAddress.Host? { bound.isWildcard ? nil : bound.unmapped.host }

    /// Whether it can be connected to an address: of its own family, or to an IPv4 one if it is an IPv6 socket that takes both.
    public func reaches(_ host: SocketAddress.Host) -> Bool {
        switch host {
        case .v4: family == AF_INET || takesIPv4
        case .v6: family == AF_INET6
        }
    }

    private var takesIPv4: Bool {
        (try? SocketOption.read(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: number, initial: Int32(1))) == 0
    }

    /// How it must spell an address that it reaches.
    public func spelling(of address: SocketAddress) -> SocketAddress {
        family == AF_INET6 ? address.mapped : address
    }

    /// Takes it off its path, so that it can be connected anew. What the application has bound stays (in the kernel,
    /// tcp_disconnect).
    ///
    /// - Parameters:
    ///   - hasOwnHost: whether that is an address, and not the kernel's choice for the attempt.
    ///   - hasOwnPort: whether it is a port.
    public consuming func disconnected(
        hasOwnHost: Bool, hasOwnPort: Bool
    ) throws(Errno) -> ApplicationSocket {
        let (number, destination) = (number, destination)
        var nothing = sockaddr()
        nothing.sa_family = sa_family_t(AF_UNSPEC)
        try check(usl_connect(number, &nothing, socklen_t(MemoryLayout<sockaddr>.size)))
        // What the attempt has left: its error, and the ICMP messages that the kernel keeps of an attempt even unasked
        // (tcp_v4_err), by which epoll would tell of an error for ever.
        _ = try SocketOption.read(SOL_SOCKET, SO_ERROR, of: number, initial: Int32(0))
        while recv(number, nil, 0, Int32(MSG_ERRQUEUE) | Int32(MSG_DONTWAIT)) >= 0 {}
        return try ApplicationSocket(
            copy: intoDescriptor(), destination: destination, hasOwnHost: hasOwnHost, hasOwnPort: hasOwnPort)
    }

    /// Lets its next connection begin at this address, with whatever port.
    public func begin(at host: SocketAddress.Host) throws(Errno) {
        try SocketOption.setBindsLater(true, of: number)
        _ = try LegSocket.bind(number, to: spelling(of: SocketAddress(host: host, port: 0)))
    }
}
