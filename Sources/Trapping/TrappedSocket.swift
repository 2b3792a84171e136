public import CLinux
public import Interception
public import Keeper
public import Kernel
public import SystemPackage

/// This process's copy of a socket that a trapped call is about.
///
/// End it soon: as long as the copy exists, the program's close() does not close the socket.
public struct TrappedSocket: ~Copyable {
    private let descriptor: Descriptor

    /// - Parameters:
    ///   - number: as the caller knows it.
    ///   - thread: the caller.
    public init(_ number: Int32, of thread: pid_t, from keeper: borrowing SupervisorChannel) throws(Errno) {
        descriptor = try Self.copy(number, of: thread, from: keeper)
    }

    private static func copy(
        _ number: Int32, of thread: pid_t, from keeper: borrowing SupervisorChannel
    ) throws(Errno) -> Descriptor {
        do throws(Errno) {
            return try keeper.copy(of: number, in: thread)
        } catch {
            // The first thread has its process's number; others are refused (pidfd_open(2)).
            guard let process = ThreadStatus(of: thread).process, process != thread else { throw error }
            return try keeper.copy(of: number, in: process)
        }
    }

    var number: Int32 { descriptor.number }

    /// Whether it is a TCP socket.
    public var isTCP: Bool {
        option(SO_TYPE) == Int32(SOCK_STREAM.rawValue) && [AF_INET, AF_INET6].contains(family)
    }

    /// Whether it is a TCP socket of this network namespace.
    public borrowing func isTCP(in namespace: NetworkNamespace?) -> Bool {
        isTCP && NetworkNamespace(of: number) == namespace
    }

    /// `AF_INET`, `AF_INET6`, …
    var family: Int32? { option(SO_DOMAIN) }
    /// Whether it is a listener.
    var isListening: Bool { option(SO_ACCEPTCONN) == 1 }
    /// The kernel's identity of it.
    var cookie: UInt64? { try? SocketOption.read(SOL_SOCKET, SO_COOKIE, of: number, initial: UInt64(0)) }

    private func option(_ name: Int32) -> Int32? {
        try? SocketOption.read(SOL_SOCKET, name, of: number, initial: Int32(0))
    }

    public var localAddress: SocketAddress {
        get throws(Errno) {
            let number = descriptor.number
            return try Self.address { usl_getsockname(number, $0, $1) }
        }
    }

    /// - Throws: `ENOTCONN`, for one.
    var peerAddress: SocketAddress {
        get throws(Errno) {
            let number = descriptor.number
            return try Self.address { usl_getpeername(number, $0, $1) }
        }
    }

    private static func address(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(Errno) -> SocketAddress {
        guard let address = try SocketAddress.reading(call).address else { throw .addressFamilyNotSupported }
        return address
    }

    /// Whether a listener at the wildcard takes IPv4 as well.
    public var isDual: Bool {
        (try? SocketOption.read(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: descriptor.number, initial: Int32(1))) == 0
    }

    public borrowing func listen(backlog: Int32) throws(Errno) { try check(CLinux.listen(descriptor.number, backlog)) }

    // MARK: - Connecting

    /// Whether it is neither connected nor connecting nor listening.
    var isUnconnected: Bool { tcpState == 7 }

    /// Of linux/tcp_states.h: the first byte of `struct tcp_info`.
    var tcpState: UInt8? { try? SocketOption.read(Int32(IPPROTO_TCP), TCP_INFO, of: number, initial: UInt8(0)) }

    var blocks: Bool { usl_fcntl(number, F_GETFL, 0) & O_NONBLOCK == 0 }

    /// `SO_SNDTIMEO` in milliseconds, at least 1; nil without one. It bounds connect(2) too (socket(7)).
    var sendTimeout: Int64? {
        guard let limit = try? SocketOption.read(SOL_SOCKET, SO_SNDTIMEO, of: number, initial: timeval()),
            limit.tv_sec != 0 || limit.tv_usec != 0
        else { return nil }
        return max(1, Int64(limit.tv_sec) * 1000 + Int64(limit.tv_usec) / 1000)
    }

    /// Begins to connect it, without waiting.
    borrowing func begin(at address: AddressBytes) -> AttemptCourse.Own {
        let flags = usl_fcntl(number, F_GETFL, 0)
        if flags & O_NONBLOCK == 0 { _ = usl_fcntl(number, F_SETFL, flags | O_NONBLOCK) }
        let result = address.withSockaddr { usl_connect(number, $0, $1) }
        let code = usl_errno()
        if flags & O_NONBLOCK == 0 { _ = usl_fcntl(number, F_SETFL, flags) }
        // Nothing that is far is connected at once.
        if result == 0 { return .deferred }
        return code == EINPROGRESS ? .underWay : .failed(code)
    }

    /// Ends its connection, or the attempt at one.
    borrowing func disconnect() {
        var nothing = sockaddr()
        nothing.sa_family = sa_family_t(AF_UNSPEC)
        _ = usl_connect(number, &nothing, socklen_t(MemoryLayout<sockaddr>.size))
    }

    /// `SO_ERROR`, which is zero afterwards.
    borrowing func takeError() -> Int32 { option(SO_ERROR) ?? 0 }
}
