import CLinux
import Kernel
public import SystemPackage

/// Why a connection can not run over a leg on loopback and is left alone.
public enum Obstacle: Equatable, Sendable, CustomStringConvertible {
    /// Its addresses mean something on one interface only.
    case linkLocal
    /// An IPv6-only socket asks for an IPv4-mapped address; the kernel's answer is `ENETUNREACH`.
    case v6OnlyToMapped
    /// `SO_BINDTODEVICE`.
    case boundToDevice(String)
    /// The application bound a loopback address and asks for one elsewhere.
    case boundToLoopback
    /// The application bound an address of the other family.
    case otherFamilyBound
    /// `IP_MINTTL` or `IPV6_MINHOPCOUNT`: it wants to see the peer's own packets (RFC 5082).
    case minimumTTL
    /// Multicast, broadcast or the wildcard.
    case notOneHost
    /// The socket was made in another network namespace.
    case otherNetwork

    public var description: String {
        switch self {
        case .linkLocal: "link-local address"
        case .v6OnlyToMapped: "IPv6-only socket to an IPv4-mapped address"
        case .boundToDevice(let device): "socket bound to device \(device)"
        case .boundToLoopback: "socket bound to a loopback address"
        case .otherFamilyBound: "socket bound to an address of the other family"
        case .minimumTTL: "socket with a minimum TTL"
        case .notOneHost: "the address is not that of one host"
        case .otherNetwork: "socket of another network namespace"
        }
    }
}

/// A network namespace, by the kernel's cookie for it (`SO_NETNS_COOKIE`).
public struct NetworkNamespace: Equatable, Sendable {
    let cookie: UInt64

    init(cookie: UInt64) { self.cookie = cookie }

    /// The namespace of a socket; nil before Linux 5.14.
    public init?(of socket: Int32) {
        guard
            let cookie = try? SocketOption.read(
                SOL_SOCKET, Int32(USL_SO_NETNS_COOKIE), of: socket, initial: UInt64(0))
        else { return nil }
        self.cookie = cookie
    }

    /// Whether a process is in the namespace of this one, as far as that shows (network_namespaces(7)).
    public static func isShared(with process: pid_t) -> Bool {
        guard let own = linkTarget("/proc/self/ns/net"), let other = linkTarget("/proc/\(process)/ns/net") else {
            return true
        }
        return own == other
    }

    /// The namespace of this thread.
    public static func own() throws(Errno) -> NetworkNamespace? {
        let probe = Descriptor(
            owning: try check(socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)))
        return NetworkNamespace(of: probe.number)
    }
}
