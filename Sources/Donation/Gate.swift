import CLinux
import Kernel
import SystemPackage

/// Where released SYNs of one family arrive, whatever their destination is: a listener of the private namespace.
final class Gate {
    let descriptor: Descriptor
    let port: UInt16

    /// Makes it in this thread's network namespace.
    ///
    /// - Parameter family: `AF_INET` or `AF_INET6`; `EAFNOSUPPORT` where the kernel has no IPv6.
    init(family: Int32) throws(Errno) {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = Descriptor(owning: try check(socket(family, Int32(type), 0)))
        let number = descriptor.number
        let any: SocketAddress.Host
        if family == AF_INET6 {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: number, to: Int32(1))
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_TRANSPARENT, of: number, to: Int32(1))
            any = .v6(high: 0, low: 0, scope: 0)
        } else {
            try SocketOption.set(Int32(IPPROTO_IP), IP_TRANSPARENT, of: number, to: Int32(1))
            any = .v4(0)
        }
        SocketOption.setReno(of: number)
        // Legs inherit it: whoever dies, what is cut short must not look like an end.
        try SocketOption.set(SOL_SOCKET, SO_LINGER, of: number, to: linger(l_onoff: 1, l_linger: 0))
        try SocketAddress(host: any, port: 0).withSockaddr { (pointer, length) throws(Errno) in
            _ = try check(usl_bind(number, pointer, length))
        }
        try check(listen(number, 4096))
        guard let address = try SocketAddress.reading({ usl_getsockname(number, $0, $1) }).address else {
            throw .addressFamilyNotSupported
        }
        self.descriptor = descriptor
        port = address.port
    }

    /// A connection that has come through, by the addresses that its SYN had.
    struct Arrival: ~Copyable {
        let leg: Descriptor
        let path: HeldPath
    }

    /// The next; nil when none waits.
    func accept() throws(Errno) -> Arrival? {
        let number = descriptor.number
        while true {
            do throws(Errno) {
                let (leg, peer) = try SocketAddress.reading {
                    usl_accept_from(number, $0, $1, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
                }
                let descriptor = Descriptor(owning: leg)
                let local = try SocketAddress.reading({ usl_getsockname(leg, $0, $1) }).address
                guard let peer, let local else { continue }
                return Arrival(leg: descriptor, path: HeldPath(source: peer, destination: local))
            } catch .wouldBlock {
                return nil
            } catch .interrupted, .connectionAbort {
                continue
            }
        }
    }
}

/// The addresses of a SYN.
struct HeldPath: Hashable {
    let source: SocketAddress
    let destination: SocketAddress
}
