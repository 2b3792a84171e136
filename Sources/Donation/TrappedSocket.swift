import CLinux
import Interception
import Keeper
import Kernel
import SystemPackage

/// This process's copy of a socket that a trapped call is about.
///
/// End it soon: as long as the copy exists, the program's close() does not close the socket.
struct TrappedSocket: ~Copyable {
    private let descriptor: Descriptor

    /// - Parameters:
    ///   - number: as the caller knows it.
    ///   - thread: the caller.
    init(_ number: Int32, of thread: pid_t, from keeper: borrowing SupervisorChannel) throws(Errno) {
        descriptor = try keeper.copy(of: number, in: Self.process(of: thread))
    }

    /// Whether it is a TCP socket of this network namespace.
    borrowing func isTCP(in namespace: NetworkNamespace?) -> Bool {
        let number = descriptor.number
        guard let type = try? SocketOption.read(SOL_SOCKET, SO_TYPE, of: number, initial: Int32(0)),
            let family = try? SocketOption.read(SOL_SOCKET, SO_DOMAIN, of: number, initial: Int32(0))
        else { return false }
        return type == Int32(SOCK_STREAM.rawValue) && [AF_INET, AF_INET6].contains(family)
            && NetworkNamespace(of: number) == namespace
    }

    var localAddress: SocketAddress {
        get throws(Errno) {
            let number = descriptor.number
            guard let address = try SocketAddress.reading({ usl_getsockname(number, $0, $1) }).address else {
                throw .addressFamilyNotSupported
            }
            return address
        }
    }

    /// Whether a listener at the wildcard takes IPv4 as well.
    var isDual: Bool {
        (try? SocketOption.read(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: descriptor.number, initial: Int32(1))) == 0
    }

    borrowing func listen(backlog: Int32) throws(Errno) { try check(CLinux.listen(descriptor.number, backlog)) }

    /// The process of a thread: its leader's number (proc_pid_status(5), Tgid).
    private static func process(of thread: pid_t) -> pid_t {
        let text = String(decoding: (try? FileContent.read("/proc/\(thread)/status", limit: 4096)) ?? [], as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("Tgid:") }
        return line?.split(whereSeparator: \.isWhitespace).last.flatMap { pid_t($0) } ?? thread
    }
}
