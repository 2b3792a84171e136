import CLinux

/// connect(2) of the application. The agent says where this socket is to go; the connecting itself, and with it blocking,
/// `EINPROGRESS`, timeouts and signals, stays the kernel's, on the application's own socket.
@c(connect)
public func interposedConnect(_ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> Int32 {
    let errnoBefore = usl_errno()
    guard agentAddress.sun_family != 0, let asked = internetAddress(address, length), isUnconnectedTCP(socket, asked)
    else {
        // The questions above may have failed and left their errno; success must not show it.
        usl_set_errno(errnoBefore)
        return nextConnect(socket, address, length)
    }
    let blocking = usl_fcntl(socket, F_GETFL, 0) & O_NONBLOCK == 0
    var signals = blocking ? SignalWatch(connecting: socket) : SignalWatch()
    let answer = askAgent(.connect(to: asked, blocking: blocking), passing: socket, signals: &signals)
    let interrupted = signals.end()
    usl_set_errno(errnoBefore)
    switch answer {
    case .response(.leg(let leg)), .response(.held(let leg)):
        var storage = sockaddr_storage()
        return withUnsafeMutableBytes(of: &storage) {
            for index in 0..<leg.count { $0[index] = leg[index] }
            let address = UnsafeRawPointer($0.baseAddress!).assumingMemoryBound(to: sockaddr.self)
            return begin(socket, address, socklen_t(leg.count), interrupted: interrupted)
        }
    case .response(.refused(let code)):
        usl_set_errno(code)
        return -1
    case .timedOut:
        usl_set_errno(ETIMEDOUT)
        return -1
    case .response, .unreachable:
        return begin(socket, address, length, interrupted: interrupted)
    }
}

/// Connects; `interrupted` as connect(2) does when a signal arrives: the connection is made in the background, and the
/// caller gets `EINTR`.
private func begin(
    _ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t, interrupted: Bool
) -> Int32 {
    guard interrupted else { return nextConnect(socket, address, length) }
    let flags = usl_fcntl(socket, F_GETFL, 0)
    _ = usl_fcntl(socket, F_SETFL, flags | O_NONBLOCK)
    let result = nextConnect(socket, address, length)
    let code = usl_errno()
    _ = usl_fcntl(socket, F_SETFL, flags)
    usl_set_errno(result < 0 && code == EINPROGRESS ? EINTR : code)
    return result
}

/// Copies the address if it is IPv4 or IPv6 and long enough for the kernel.
private func internetAddress(_ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> AddressBytes? {
    guard let address, length >= socklen_t(MemoryLayout<sa_family_t>.size) else { return nil }
    let count: Int
    switch Int32(address.pointee.sa_family) {
    case AF_INET: count = MemoryLayout<sockaddr_in>.size
    case AF_INET6: count = MemoryLayout<sockaddr_in6>.size
    default: return nil
    }
    guard Int(length) >= count else { return nil }
    let bytes = UnsafeRawPointer(address)
    return AddressBytes(count: count) { bytes.load(fromByteOffset: $0, as: UInt8.self) }
}

/// A TCP socket of the address's family that is neither connected nor connecting nor listening: in all other states the
/// answer (`EALREADY`, `EISCONN`, …) is the kernel's.
private func isUnconnectedTCP(_ socket: Int32, _ address: AddressBytes) -> Bool {
    let tcpClose: UInt8 = 7  // TCP_CLOSE, linux/tcp_states.h
    var state: UInt8 = 0  // the first byte of struct tcp_info
    var length = socklen_t(1)
    guard isTCP(socket), integerOption(socket, SO_DOMAIN) == Int32(address[0]) | Int32(address[1]) << 8,
        getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, &state, &length) == 0
    else { return false }
    return state == tcpClose
}

func isTCP(_ socket: Int32) -> Bool { integerOption(socket, SO_PROTOCOL) == Int32(IPPROTO_TCP) }

private func integerOption(_ socket: Int32, _ option: Int32) -> Int32? {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(socket, SOL_SOCKET, option, &value, &length) == 0 else { return nil }
    return value
}
