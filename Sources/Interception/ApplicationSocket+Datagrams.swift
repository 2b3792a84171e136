public import CLinux
public import Kernel
public import SystemPackage

/// Sockets for datagrams.
extension ApplicationSocket {
    /// Why its datagrams can not pass through a relay on loopback; nil if they can.
    ///
    /// - Parameter network: the agent's own, from `NetworkNamespace.own()`.
    public borrowing func datagramObstacle(network: NetworkNamespace?) -> Obstacle? {
        guard let obstacle = obstacle(network: network) else { return nil }
        // That the kernel has given it, for its relay.
        if obstacle == .boundToLoopback, isConnectedToRelay { return nil }
        return obstacle
    }

    /// The address that it sends from, by the application's will; never IPv4-mapped.
    public borrowing func chosenSource() -> SocketAddress.Host? {
        bound.isWildcard || bound.unmapped.isLoopback ? nil : bound.unmapped.host
    }

    /// Whose it is: the user who has made it.
    public borrowing func owner() throws(Errno) -> uid_t {
        var status = stat()
        try check(fstat(number, &status))
        return status.st_uid
    }

    /// Its own port, if it has one already.
    public var port: UInt16? { bound.port == 0 ? nil : bound.port }

    /// Whether nobody can tell when its port is free again: it is none that programs choose. Linux hands out 32768 to 60999 by itself
    /// (`net.ipv4.ip_local_port_range`).
    public var hasAnyPort: Bool { bound.port == 0 || (32_768...60_999).contains(bound.port) }

    /// Keeps the copy, for what the kernel does for the holder of a socket alone. As long as the copy exists, its port is not free.
    public consuming func kept() -> Descriptor { intoDescriptor() }

    private var isConnectedToRelay: Bool {
        let number = number
        guard let peer = try? SocketAddress.reading({ usl_getpeername(number, $0, $1) }).address else { return false }
        return peer.mayBeRelay
    }
}

extension SocketAddress {
    /// Whether it is in the place of relays (``RelayAddress``).
    public var mayBeRelay: Bool {
        withSockaddr { RelayAddress.mayBe(UnsafeRawBufferPointer(start: $0, count: Int($1))) }
    }
}
