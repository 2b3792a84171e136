import CLinux
import Interception
import Kernel
import SystemPackage

/// The addresses of this machine, from which a private namespace takes its own, so that a program sees the names that its
/// connections would have outside.
struct HostAddresses {
    struct Network {
        let address: SocketAddress.Host
        let prefixLength: UInt8
    }

    /// All but loopback and link-local ones.
    private(set) var networks: [Network] = []
    /// From where packets to anywhere leave, where there is a way: IPv4 and IPv6.
    private var defaults: [SocketAddress.Host] = []

    /// Reads them in this thread's network namespace.
    init() {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            if let network = Self.network(entry.pointee) { networks.append(network) }
        }
        // Addresses for documentation (RFC 5737, RFC 3849): where packets to strangers go. Nothing is sent.
        let strangers: [SocketAddress.Host] = [.v4(0xc000_0201), .v6(high: 0x2001_0db8 << 32, low: 1, scope: 0)]
        defaults = strangers.compactMap { stranger in
            let source = try? SocketAddress(host: stranger, port: 9).naturalSource().host
            return source.flatMap { source in networks.contains { $0.address == source } ? source : nil }
        }
    }

    /// Where a connection to anywhere begins, though there may be no way there yet.
    func source(family: Int32) -> SocketAddress.Host {
        defaults.first { $0.family == family } ?? networks.first { $0.address.family == family }?.address
            ?? SocketAddress.loopback(like: .wildcard(family: family), port: 0).host
    }

    private static func network(_ entry: ifaddrs) -> Network? {
        guard let address = socketAddress(entry.ifa_addr), !address.isLoopback, !address.isLinkLocal,
            let mask = socketAddress(entry.ifa_netmask)
        else { return nil }
        let length =
            switch mask.host {
            case .v4(let bits): bits.nonzeroBitCount
            case .v6(let high, let low, _): high.nonzeroBitCount + low.nonzeroBitCount
            }
        return Network(address: address.host, prefixLength: UInt8(length))
    }

    private static func socketAddress(_ pointer: UnsafeMutablePointer<sockaddr>?) -> SocketAddress? {
        guard let pointer else { return nil }
        let isIPv6 = Int32(pointer.pointee.sa_family) == AF_INET6
        let length = isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        return SocketAddress(pointer, length: socklen_t(length))
    }
}
