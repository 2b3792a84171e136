import CLinux
import Kernel
import SystemPackage
import Transport

/// Where released SYNs of one family arrive, whatever their destination is: a listener of the private namespace.
final class Gate {
    let socket: TCPSocket
    let port: UInt16

    /// Makes it in this thread's network namespace.
    ///
    /// - Parameter family: `AF_INET` or `AF_INET6`; `EAFNOSUPPORT` where the kernel has no IPv6.
    init(family: Int32) throws(Errno) {
        // Said before anything listens: a socket of another supervisor's namespace has no such right.
        let trial = try TCPSocket(family: family)
        try TransparentSocket.allow(trial.number, family: family)
        do throws(ListenError) {
            socket = try TCPSocket.listen(on: SocketAddress(host: .wildcard(family: family), port: 0))
        } catch {
            throw error.code
        }
        try TransparentSocket.allow(socket.number, family: family)
        SocketOption.setReno(of: socket.number)
        // Legs inherit it: whoever dies, what is cut short must not look like an end.
        try socket.setResetOnClose(true)
        port = try socket.localAddress().port
    }

    /// A connection that has come through, by the addresses that its SYN had.
    struct Arrival: ~Copyable {
        let leg: TCPSocket
        let path: HeldPath
    }

    /// The next; nil when none waits.
    func accept() throws(Errno) -> Arrival? {
        while let leg = try socket.accept() {
            // One without names has gone again.
            guard let source = try? leg.remoteAddress(), let destination = try? leg.localAddress() else { continue }
            return Arrival(leg: leg, path: HeldPath(source: source, destination: destination))
        }
        return nil
    }
}

/// A socket that has addresses of other hosts for its own (ip(7), IP_TRANSPARENT).
enum TransparentSocket {
    static func allow(_ socket: Int32, family: Int32) throws(Errno) {
        if family == AF_INET6 {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_TRANSPARENT, of: socket, to: Int32(1))
        } else {
            try SocketOption.set(Int32(IPPROTO_IP), IP_TRANSPARENT, of: socket, to: Int32(1))
        }
    }
}

/// The addresses of a SYN.
struct HeldPath: Hashable {
    let source: SocketAddress
    let destination: SocketAddress
}
