import CLinux

// What an application takes its socket for, not the loopback addresses of its leg.

/// getpeername(2) of the application: what it asked for.
@c(getpeername)
public func interposedPeerName(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    let room = length?.pointee ?? 0
    let result = nextPeerName(socket, address, length)
    guard result == 0, agentAddress.sun_family != 0, let address, let length else { return result }
    let errnoBefore = usl_errno()
    // Asks again, because the caller's room may cut the address off.
    let peer = peerName(of: socket)
    if let peer, isLoopback(peer) {
        if isTCP(socket) {
            if let cookie = cookie(of: socket) {
                tell(.peerName(cookie: cookie, at: peer), address, length, room: room)
            }
        } else if let relay = relay(of: socket) {
            tell(.relayed(at: relay, local: false), address, length, room: room)
        }
    } else if let peer {
        tellClient(of: socket, at: peer, address, length, room: room)
    }
    usl_set_errno(errnoBefore)
    return result
}

/// getsockname(2) of the application: the local address that it would have without USL.
@c(getsockname)
public func interposedLocalName(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    let room = length?.pointee ?? 0
    let result = nextLocalName(socket, address, length)
    guard result == 0, agentAddress.sun_family != 0, let address, let length else { return result }
    let errnoBefore = usl_errno()
    if let own = localName(of: socket), isLoopback(own) {
        if isTCP(socket) {
            if !isListening(socket), let cookie = cookie(of: socket) {
                tell(.localName(cookie: cookie), address, length, room: room)
            }
        } else if let relay = relay(of: socket) {
            tell(.relayed(at: relay, local: true), address, length, room: room, port: (own[2], own[3]))
        }
    }
    usl_set_errno(errnoBefore)
    return result
}

/// Asks the agent for a name, and puts it in the place of what the kernel has told, if the agent knows the socket.
///
/// - Parameters:
///   - room: how long a name the caller takes.
///   - port: the two bytes of the port, where the agent cannot know it.
func tell(
    _ request: ControlRequest, _ address: UnsafeMutableRawPointer, _ length: UnsafeMutablePointer<socklen_t>,
    room: socklen_t, port: (UInt8, UInt8)? = nil
) {
    var signals = SignalWatch()
    guard case .response(.asked(let name)) = askAgent(request, passing: -1, signals: &signals) else { return }
    for index in 0..<min(Int(room), name.count) {
        let byte =
            switch (index, port) {
            case (2, .some(let port)): port.0
            case (3, .some(let port)): port.1
            default: name[index]
            }
        address.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    }
    // The full length, also when the caller's room was smaller (getpeername(2)).
    length.pointee = socklen_t(name.count)
}

/// 127/8, `::1`, or 127/8 mapped into IPv6.
func isLoopback(_ address: AddressBytes) -> Bool {
    // struct sockaddr_in, sockaddr_in6.
    if address.count == MemoryLayout<sockaddr_in>.size { return address[4] == 127 }
    for index in 8..<18 where address[index] != 0 { return false }
    let isMapped = address[18] == 0xff && address[19] == 0xff
    if isMapped { return address[20] == 127 }
    for index in 18..<23 where address[index] != 0 { return false }
    return address[23] == 1
}

/// A server's own sockets are never a session's.
private func isListening(_ socket: Int32) -> Bool {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0
}

private func cookie(of socket: Int32) -> UInt64? {
    var value: UInt64 = 0
    var length = socklen_t(MemoryLayout<UInt64>.size)
    guard getsockopt(socket, SOL_SOCKET, SO_COOKIE, &value, &length) == 0 else { return nil }
    return value
}
