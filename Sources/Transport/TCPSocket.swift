import CLinux
public import Kernel
public import SystemPackage

/// Sole owner of a non-blocking TCP socket: of a link, a leg or a listener.
public struct TCPSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// The kernel's number, valid while this owner lives. For system calls only; never close it.
    public var number: Int32 { descriptor.number }

    /// A new socket that is neither bound nor connected.
    ///
    /// - Parameter family: `AF_INET` or `AF_INET6`.
    public init(family: Int32, transport: LinkTransport = .tcp) throws(Errno) {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = Descriptor(owning: try check(socket(family, type, transport.protocolNumber)))
    }

    /// Takes over a TCP socket that is already non-blocking.
    public init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Gives up the socket, open.
    public consuming func release() -> Descriptor { descriptor }

    // MARK: - Connecting

    /// Starts to connect a new socket and returns at once; `finishConnect` tells the end.
    ///
    /// - Parameters:
    ///   - source: where to connect from.
    ///   - profile: options to set before the SYN leaves, since some of them decide what it offers.
    ///   - fastOpen: whether to use TCP Fast Open (RFC 7413), where the kernel does. If it has a cookie of the destination, no SYN
    ///     leaves before the first write: the socket is writable then, and `finishConnect` false.
    public static func dial(
        _ destination: SocketAddress, from source: LinkSource = .anywhere, transport: LinkTransport = .tcp,
        profile: LinkProfile, fastOpen: Bool = false
    ) throws(Errno) -> TCPSocket {
        let socket = try TCPSocket(family: destination.family, transport: transport)
        try profile.apply(to: socket)
        switch source {
        case .anywhere: break
        case .address(let host): try socket.bind(to: SocketAddress(host: host, port: 0))
        case .interface(let name): try socket.bind(toInterface: name)
        }
        // Without it, as where net.ipv4.tcp_fastopen forbids it, everything takes a round trip longer.
        if fastOpen { try? socket.setOption(Int32(IPPROTO_TCP), TCP_FASTOPEN_CONNECT, 1) }
        try socket.connect(to: destination)
        return socket
    }

    /// Lets the socket send and receive through one interface alone, which then also gives it its address. Needs no
    /// privilege as long as the socket is bound to none (socket(7), since Linux 5.7).
    private func bind(toInterface name: String) throws(Errno) {
        var name = name
        let length = socklen_t(name.utf8.count)
        try check(name.withUTF8 { setsockopt(number, SOL_SOCKET, SO_BINDTODEVICE, $0.baseAddress, length) })
    }

    /// Gives the socket its local address.
    public func bind(to source: SocketAddress) throws(Errno) {
        if source.port == 0 {
            // The port is then chosen by connect(2), which knows the destination and may share a port among several: bind(2)
            // would need a free one for each socket (ip(7)).
            try setOption(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, 1)
        }
        try check(source.withSockaddr { [number] in usl_bind(number, $0, $1) })
    }

    /// Takes a free port of the loopback address, now, so that it is this socket's alone.
    public func bindToLoopbackPort() throws(Errno) {
        let family = try option(SOL_SOCKET, SO_DOMAIN)
        let address = SocketAddress.loopback(like: .wildcard(family: family), port: 0)
        try check(address.withSockaddr { [number] in usl_bind(number, $0, $1) })
    }

    /// Starts to connect, and returns at once. The verdict comes with the next writable event and `finishConnect`, except for
    /// what the kernel knows already, such as `ENETUNREACH`.
    public func connect(to destination: SocketAddress) throws(Errno) {
        let result = destination.withSockaddr { [number] in usl_connect(number, $0, $1) }
        if result < 0, usl_errno() != EINPROGRESS { throw Errno(rawValue: usl_errno()) }
    }

    /// Tells how a connect ended.
    ///
    /// - Returns: false while it has not.
    public func finishConnect() throws(Errno) -> Bool {
        if let failure = try takeError() { throw failure }
        // SO_ERROR is 0 as well while the SYN is under way. Only a connected socket has a peer.
        do throws(Errno) {
            _ = try remoteAddress()
            return true
        } catch .socketNotConnected {
            return false
        }
    }

    // MARK: - Accepting

    /// A listener on one address. An IPv6 wildcard does not take IPv4 as well, unless it `isDual`: that wants a listener of its own.
    public static func listen(
        on address: SocketAddress, transport: LinkTransport = .tcp, isDual: Bool = false, backlog: Int32 = 4096
    ) throws(ListenError) -> TCPSocket {
        do throws(Errno) {
            let socket = try TCPSocket(family: address.family, transport: transport)
            // A restarted gateway must not wait for the TIME_WAIT of its predecessor's connections (socket(7)).
            try socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
            if address.family == AF_INET6 { try socket.setOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, isDual ? 0 : 1) }
            try check(address.withSockaddr { usl_bind(socket.number, $0, $1) })
            try check(usl_listen_call(socket.number, backlog))
            return socket
        } catch {
            throw ListenError(address: address, code: error)
        }
    }

    /// Lets a listener take data that come with a SYN (RFC 7413), from clients that show the kernel's cookie. Has no effect where
    /// net.ipv4.tcp_fastopen does not allow it.
    ///
    /// - Parameter queue: how many connections may be open in that way whose handshake is not over. Those beyond it are made as
    ///   ever.
    public func takeFastOpen(queue: Int32) throws(Errno) { try setOption(Int32(IPPROTO_TCP), TCP_FASTOPEN, queue) }

    /// The next connection that waits at a listener; nil when there is none.
    ///
    /// Throws only what concerns this host, such as `EMFILE`: the connection then still waits, and no event will tell of it
    /// again.
    public func accept() throws(Errno) -> TCPSocket? {
        while true {
            let number = usl_accept(number, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
            if number >= 0 { return TCPSocket(owning: Descriptor(owning: number)) }
            switch usl_errno() {
            case EAGAIN: return nil
            // Errors of the connection that was to be accepted, which is gone with them (accept(2), "Error handling").
            case EINTR, ECONNABORTED, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                ENETUNREACH:
                continue
            case let code: throw Errno(rawValue: code)
            }
        }
    }

    // MARK: - Addresses

    /// This end's address.
    public func localAddress() throws(Errno) -> SocketAddress {
        try address { [number] in usl_getsockname(number, $0, $1) }
    }

    /// The peer's address; throws `ENOTCONN` when there is no connection.
    public func remoteAddress() throws(Errno) -> SocketAddress {
        try address { [number] in usl_getpeername(number, $0, $1) }
    }

    private func address(
        _ read: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(Errno) -> SocketAddress {
        guard let address = try SocketAddress.reading(read).address else { throw .addressFamilyNotSupported }
        return address
    }
}
