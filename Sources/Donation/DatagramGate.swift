import CLinux
import Kernel
import SystemPackage
import Transport

/// Where datagrams of one family arrive that are too large for their queue, whatever their destination is: a socket of the private
/// namespace.
final class DatagramGate {
    let socket: DatagramSocket
    let port: UInt16

    /// Makes it in this thread's network namespace.
    ///
    /// - Parameter family: `AF_INET` or `AF_INET6`; `EAFNOSUPPORT` where the kernel has no IPv6.
    init(family: Int32) throws(Errno) {
        let socket = try DatagramSocket(family: family)
        try TransparentSocket.allow(socket.number, family: family)
        // With each datagram, the destination that it had (ip(7)).
        if family == AF_INET6 {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_RECVORIGDSTADDR, of: socket.number, to: Int32(1))
        } else {
            try SocketOption.set(Int32(IPPROTO_IP), IP_RECVORIGDSTADDR, of: socket.number, to: Int32(1))
        }
        try socket.bind(to: SocketAddress(host: .wildcard(family: family), port: 0))
        port = try socket.localAddress().port
        self.socket = socket
    }

    /// The next; nil when none waits.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Datagram? {
        var destination: SocketAddress?
        let received = try AncillaryMessage.receive(over: socket.number, into: buffer) { level, type, content in
            switch (level, type) {
            case (Int32(IPPROTO_IP), IP_ORIGDSTADDR), (Int32(IPPROTO_IPV6), IPV6_ORIGDSTADDR):
                destination = AncillaryMessage.address(content)
            default: break
            }
        }
        guard let received, let source = received.name, let destination else { return nil }
        return Datagram(source: source, destination: destination, content: Array(buffer[..<received.count])[...])
    }
}
