import CLinux

// What a server program does. Its sockets stay the kernel's.

/// listen(2) of the application: when it listens where others can connect, the agent hears of it.
@c(listen)
public func interposedListen(_ socket: Int32, _ backlog: Int32) -> Int32 {
    let result = nextListen(socket, backlog)
    guard result == 0, agentAddress.sun_family != 0 else { return result }
    let errnoBefore = usl_errno()
    if isTCP(socket), let address = localName(of: socket), !isLoopback(address) {
        var signals = SignalWatch()
        _ = askAgent(.listening(at: address), passing: -1, signals: &signals)
    }
    usl_set_errno(errnoBefore)
    return result
}

/// accept(2) of the application: whose connection it is, and not the gateway's that brings it.
@c(accept)
public func interposedAccept(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    let room = length?.pointee ?? 0
    return named(nextAccept(socket, address, length), address, length, room: room)
}

/// accept4(2) of the application, likewise.
@c(accept4)
public func interposedAccept4(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?,
    _ flags: Int32
) -> Int32 {
    let room = length?.pointee ?? 0
    return named(nextAccept4(socket, address, length, flags), address, length, room: room)
}

private func named(
    _ accepted: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?,
    room: socklen_t
) -> Int32 {
    guard accepted >= 0, agentAddress.sun_family != 0, let address, let length else { return accepted }
    let errnoBefore = usl_errno()
    if let peer = peerName(of: accepted) { tellClient(of: accepted, at: peer, address, length, room: room) }
    usl_set_errno(errnoBefore)
    return accepted
}

/// Puts the client's address in the place of the gateway's, if a socket is connected with one.
///
/// - Parameter peer: what the kernel says.
func tellClient(
    of socket: Int32, at peer: AddressBytes, _ address: UnsafeMutableRawPointer,
    _ length: UnsafeMutablePointer<socklen_t>, room: socklen_t
) {
    // A gateway of this host connects to the address that was asked for, and the kernel then takes the same for its own end.
    guard let own = localName(of: socket), isSameHost(peer, own), isTCP(socket) else { return }
    tell(.client(at: peer), address, length, room: room)
}

private func isSameHost(_ left: AddressBytes, _ right: AddressBytes) -> Bool {
    guard left.count == right.count else { return false }
    // struct sockaddr_in, sockaddr_in6.
    let range = left.count == MemoryLayout<sockaddr_in>.size ? 4..<8 : 8..<24
    for index in range where left[index] != right[index] { return false }
    return true
}
