import CLinux
public import Kernel
public import SystemPackage

/// The local TCP connection between an application and its agent.
public struct Leg: ~Copyable, Sendable {
    public let descriptor: Descriptor
    /// The application's own address, as `ApplicationSocket` foretold it.
    public let application: SocketAddress

    public init(descriptor: consuming Descriptor, application: SocketAddress) {
        self.descriptor = descriptor
        self.application = application
    }

    /// The agent's end of it.
    public var localAddress: SocketAddress {
        get throws(Errno) { try LegSocket.localAddress(of: descriptor.number) }
    }

    /// Gives the connection away.
    public consuming func intoDescriptor() -> Descriptor { descriptor }
}

/// A loopback listener where applications connect their legs.
///
/// Two connections from one bound port need two listeners, since the four-tuple must differ.
public struct LegListener: ~Copyable, Sendable {
    /// Readable when a leg waits.
    public let descriptor: Descriptor
    /// Loopback and a port that the kernel chose.
    public let address: SocketAddress

    /// - Parameter family: `AF_INET` or `AF_INET6`; `EAFNOSUPPORT` or `EADDRNOTAVAIL` where IPv6 is off.
    public init(family: Int32) throws(Errno) {
        let descriptor = try LegSocket.make(family: family)
        let wanted = SocketAddress.loopback(like: .wildcard(family: family), port: 0)
        let address = try LegSocket.bind(descriptor.number, to: wanted)
        try check(listen(descriptor.number, 4096))
        self.address = address
        self.descriptor = descriptor
    }

    /// Takes over a listener that another process made.
    public init(adopting descriptor: consuming Descriptor) throws(Errno) {
        address = try LegSocket.localAddress(of: descriptor.number)
        self.descriptor = descriptor
    }

    /// The next leg; nil when none waits. The kernel copies the listener's options to it, `SO_LINGER` included.
    public borrowing func accept() throws(Errno) -> Leg? { try LegSocket.accept(from: descriptor.number) }
}

/// What every socket that is or becomes an agent's end of a leg has in common.
enum LegSocket {
    static func make(family: Int32) throws(Errno) -> Descriptor {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = Descriptor(owning: try check(socket(family, Int32(type), 0)))
        let number = descriptor.number
        if family == AF_INET6 {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: number, to: Int32(1))
        }
        SocketOption.setReno(of: number)
        // Unless an ending is arranged, a leg's death is a reset: a killed agent must not look like a clean end.
        try SocketOption.set(SOL_SOCKET, SO_LINGER, of: number, to: linger(l_onoff: 1, l_linger: 0))
        return descriptor
    }

    /// Binds, and says what came of port 0.
    static func bind(_ socket: Int32, to address: SocketAddress) throws(Errno) -> SocketAddress {
        try address.withSockaddr { (pointer, length) throws(Errno) in
            _ = try check(usl_bind(socket, pointer, length))
        }
        return try localAddress(of: socket)
    }

    static func localAddress(of socket: Int32) throws(Errno) -> SocketAddress {
        guard let address = try SocketAddress.reading({ usl_getsockname(socket, $0, $1) }).address else {
            throw .addressFamilyNotSupported
        }
        return address
    }

    static func accept(from listener: Int32) throws(Errno) -> Leg? {
        while true {
            do {
                let (number, peer) = try SocketAddress.reading {
                    usl_accept_from(listener, $0, $1, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
                }
                let descriptor = Descriptor(owning: number)
                guard let peer else { continue }
                return Leg(descriptor: descriptor, application: peer)
            } catch .wouldBlock {
                return nil
            } catch .interrupted, .connectionAbort {
                continue
            }
        }
    }
}
