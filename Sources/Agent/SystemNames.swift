import CLinux
import Kernel

/// The system's resolver: hosts file, DNS, or whatever nsswitch.conf(5) says. Each call may block for as long as that takes.
struct SystemNames: Sendable {
    /// The addresses of a name; none if there are none, or nobody knows.
    var forward: @Sendable (String) -> [SocketAddress.Host]
    /// The name of an address.
    var reverse: @Sendable (SocketAddress.Host) -> String?

    static let system = SystemNames(
        forward: { name in
            var hosts: [SocketAddress.Host] = []
            for address in (try? HostPort(host: name, port: 0).resolve()) ?? [] {
                let host = address.host.unmapped
                if !hosts.contains(host) { hosts.append(host) }
            }
            return hosts
        },
        reverse: { host in
            SocketAddress(host: host, port: 0).withSockaddr { (address, length) -> String? in
                var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                let failed = getnameinfo(address, length, &buffer, socklen_t(buffer.count), nil, 0, NI_NAMEREQD)
                guard failed == 0, let end = buffer.firstIndex(of: 0) else { return nil }
                return String(decoding: buffer[..<end].map(UInt8.init(bitPattern:)), as: UTF8.self)
            }
        })
}
