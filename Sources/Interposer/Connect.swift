import CLinux

/// connect(2) of the application. The agent says where this socket is to go; the connecting itself, and with it blocking,
/// `EINPROGRESS`, timeouts and signals, stays the kernel's, on the application's own socket.
@c(connect)
public func interposedConnect(_ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> Int32 {
    let errnoBefore = usl_errno()
    if let result = connectDatagramSocket(socket, address, length) { return result }
    guard agentAddress.sun_family != 0, let asked = internetAddress(address, length), isUnconnectedTCP(socket, asked)
    else {
        // The questions above may have failed and left their errno; success must not show it.
        usl_set_errno(errnoBefore)
        return nextConnect(socket, address, length)
    }
    let blocking = usl_fcntl(socket, F_GETFL, 0) & O_NONBLOCK == 0
    var signals = blocking ? SignalWatch(connecting: socket) : SignalWatch()
    switch askAgent(.connect(to: asked, blocking: blocking), passing: socket, signals: &signals) {
    case .attempt(let control, let silence, let budget):
        let flags = usl_fcntl(socket, F_GETFL, 0)
        if blocking { _ = usl_fcntl(socket, F_SETFL, flags | O_NONBLOCK) }
        let verdict = Attempt(socket, to: address, length, control).verdict(
            silence: silence, budget: budget, waits: blocking, signals: &signals)
        if blocking { _ = usl_fcntl(socket, F_SETFL, flags) }
        _ = signals.end()
        usl_set_errno(errnoBefore)
        return end(verdict, socket, address, length, waits: blocking)
    case .response(let response):
        let interrupted = signals.end()
        usl_set_errno(errnoBefore)
        return follow(response, socket, address, length, interrupted: interrupted)
    case .unreachable:
        let interrupted = signals.end()
        usl_set_errno(errnoBefore)
        return begin(socket, address, length, interrupted: interrupted)
    case .timedOut:
        _ = signals.end()
        usl_set_errno(ETIMEDOUT)
        return -1
    }
}

/// Does what the agent has decided.
private func follow(
    _ response: ControlResponse, _ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t,
    interrupted: Bool
) -> Int32 {
    switch response {
    case .leg(let leg), .held(let leg): return begin(socket, leg, interrupted: interrupted)
    case .refused(let code):
        usl_set_errno(code)
        return -1
    case .direct, .attempt, .connectTo, .asked, .notMine, .accepted, .incoming:
        return begin(socket, address, length, interrupted: interrupted)
    }
}

/// Ends connect(2) as an attempt has ended.
///
/// - Parameter waits: whether the application's socket blocks. One that does not is told that it is connecting even when it is
///   connected by now, as with every peer that is not on this machine.
private func end(
    _ verdict: AttemptCourse.Verdict, _ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t,
    waits: Bool
) -> Int32 {
    switch verdict {
    // To a socket that did not block, connect(2) has yet to say so: unasked, it would say it to the application's next call, which
    // is to be EISCONN.
    case .connected where waits: return nextConnect(socket, address, length)
    // TCP_FASTOPEN_CONNECT: the SYN leaves with the first write.
    case .deferred: return 0
    case .connected, .underWay: usl_set_errno(EINPROGRESS)
    case .interrupted: usl_set_errno(EINTR)
    case .failed(let code):
        // The kernel must not remember the attempt: the next connect(2) would end with its error.
        var nothing = sockaddr()
        nothing.sa_family = sa_family_t(AF_UNSPEC)
        _ = usl_connect(socket, &nothing, socklen_t(MemoryLayout<sockaddr>.size))
        usl_set_errno(code)
    case .elsewhere(let place): return begin(socket, place, interrupted: false)
    }
    return -1
}

private func begin(_ socket: Int32, _ place: AddressBytes, interrupted: Bool) -> Int32 {
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) {
        for index in 0..<place.count { $0[index] = place[index] }
        let address = UnsafeRawPointer($0.baseAddress!).assumingMemoryBound(to: sockaddr.self)
        return begin(socket, address, socklen_t(place.count), interrupted: interrupted)
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

/// Copies the address if it is IPv4 or IPv6, and neither too short nor too long for the kernel.
func internetAddress(_ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> AddressBytes? {
    guard let address, length >= socklen_t(MemoryLayout<sa_family_t>.size),
        length <= socklen_t(MemoryLayout<sockaddr_storage>.size)
    else { return nil }
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
func isUnconnectedTCP(_ socket: Int32, _ address: AddressBytes) -> Bool {
    isTCP(socket) && integerOption(socket, SO_DOMAIN) == address.family
        && tcpState(of: socket) == tcpClose
}

/// TCP_CLOSE, linux/tcp_states.h.
let tcpClose: UInt8 = 7

/// The kernel's state of a TCP socket, linux/tcp_states.h; nil if it is none.
func tcpState(of socket: Int32) -> UInt8? {
    var state: UInt8 = 0  // the first byte of struct tcp_info
    var length = socklen_t(1)
    return getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, &state, &length) == 0 ? state : nil
}

/// Whether it is a socket of TCP, on one path or several.
func isTCP(_ socket: Int32) -> Bool {
    let number = integerOption(socket, SO_PROTOCOL)
    return number == Int32(IPPROTO_TCP) || number == Int32(IPPROTO_MPTCP)
}

func integerOption(_ socket: Int32, _ option: Int32) -> Int32? {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(socket, SOL_SOCKET, option, &value, &length) == 0 else { return nil }
    return value
}
