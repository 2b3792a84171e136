import CLinux
public import Kernel
public import SystemPackage

/// Sole owner of a non-blocking UDP socket.
public struct DatagramSocket: ~Copyable, Sendable {
    /// No datagram of UDP is longer.
    public static let maximumSize = 65_535

    private let descriptor: Descriptor

    /// The kernel's number, valid while this owner lives. For system calls only; never close it.
    public var number: Int32 { descriptor.number }

    /// A new socket that is neither bound nor connected.
    ///
    /// - Parameter family: `AF_INET` or `AF_INET6`; the latter then takes nothing of IPv4.
    public init(family: Int32) throws(Errno) {
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = Descriptor(owning: try check(socket(family, type, Int32(IPPROTO_UDP))))
        if family == AF_INET6 {
            var on: Int32 = 1
            let length = socklen_t(MemoryLayout<Int32>.size)
            try check(setsockopt(descriptor.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, length))
        }
        self.descriptor = descriptor
    }

    /// Takes over a UDP socket that is already non-blocking.
    public init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// A socket that sends to one address, and hears from that one only.
    ///
    /// - Parameter source: where it sends from; nil: as the kernel's routes say. The port is any.
    public static func connected(
        to destination: SocketAddress, from source: SocketAddress.Host? = nil
    ) throws(Errno) -> DatagramSocket {
        let socket = try DatagramSocket(family: destination.family)
        if let source { try socket.bind(to: SocketAddress(host: source, port: 0)) }
        try socket.connect(to: destination)
        return socket
    }

    public func bind(to address: SocketAddress) throws(Errno) {
        try check(address.withSockaddr { [number] in usl_bind(number, $0, $1) })
    }

    /// From now on, datagrams come from this address only, and to all other senders the kernel says that nobody is here.
    public func connect(to destination: SocketAddress) throws(Errno) {
        try check(destination.withSockaddr { [number] in usl_connect(number, $0, $1) })
    }

    public func localAddress() throws(Errno) -> SocketAddress {
        guard let address = try SocketAddress.reading({ [number] in usl_getsockname(number, $0, $1) }).address else {
            throw .addressFamilyNotSupported
        }
        return address
    }

    public func remoteAddress() throws(Errno) -> SocketAddress {
        guard let address = try SocketAddress.reading({ [number] in usl_getpeername(number, $0, $1) }).address else {
            throw .addressFamilyNotSupported
        }
        return address
    }

    /// Sends one datagram.
    ///
    /// - Parameter destination: nil if the socket is connected.
    /// - Throws: also what became of an earlier one, such as `ECONNREFUSED` (udp(7)).
    public func send(_ content: UnsafeRawBufferPointer, to destination: SocketAddress? = nil) throws(Errno) {
        let flags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
        guard let destination else {
            try retrying { CLinux.send(number, content.baseAddress, content.count, flags) }
            return
        }
        try retrying {
            destination.withSockaddr { usl_sendto_call(number, content.baseAddress, content.count, flags, $0, $1) }
        }
    }

    /// A datagram that has come.
    public struct Received {
        public let count: Int
        public let sender: SocketAddress
    }

    /// Takes the next datagram; nil when none waits.
    ///
    /// - Throws: what became of one that was sent, such as `ECONNREFUSED` (udp(7)).
    public func receive(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Received? {
        while true {
            var count = 0
            do throws(Errno) {
                let sender = try SocketAddress.reading { [number] (address, length) -> Int32 in
                    count = usl_recvfrom_call(
                        number, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT), address, length)
                    return count < 0 ? -1 : 0
                }.address
                guard let sender else { throw .addressFamilyNotSupported }
                return Received(count: count, sender: sender)
            } catch .wouldBlock {
                return nil
            } catch .interrupted {
                continue
            }
        }
    }
}
