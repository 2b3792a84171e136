import CLinux

/// getpeername(2) of the application: what it asked for, not the loopback address of its leg.
@c(getpeername)
public func interposedPeerName(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    let errnoBefore = usl_errno()
    let room = length?.pointee ?? 0
    let result = nextPeerName(socket, address, length)
    guard result == 0, agentAddress.sun_family != 0, let address, let length else { return result }
    if hasLoopbackPeer(socket), isTCP(socket), let cookie = cookie(of: socket) {
        var signals = SignalWatch()
        let answer = askAgent(.peerName(cookie: cookie), passing: -1, signals: &signals)
        if case .response(.asked(let asked)) = answer {
            let target = UnsafeMutableRawPointer(address)
            for index in 0..<min(Int(room), asked.count) {
                target.storeBytes(of: asked[index], toByteOffset: index, as: UInt8.self)
            }
            // The full length, also when the caller's room was smaller (getpeername(2)).
            length.pointee = socklen_t(asked.count)
        }
    }
    usl_set_errno(errnoBefore)
    return result
}

/// 127/8, `::1`, or 127/8 mapped into IPv6. Asks again, because the caller's room may cut the address off.
private func hasLoopbackPeer(_ socket: Int32) -> Bool {
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) { bytes in
        var length = socklen_t(bytes.count)
        let address = UnsafeMutableRawPointer(bytes.baseAddress!).assumingMemoryBound(to: sockaddr.self)
        guard nextPeerName(socket, address, &length) == 0 else { return false }
        switch Int32(address.pointee.sa_family) {
        case AF_INET: return bytes[4] == 127
        case AF_INET6:
            for index in 8..<18 where bytes[index] != 0 { return false }
            let isMapped = bytes[18] == 0xff && bytes[19] == 0xff
            if isMapped { return bytes[20] == 127 }
            for index in 18..<23 where bytes[index] != 0 { return false }
            return bytes[23] == 1
        default: return false
        }
    }
}

private func cookie(of socket: Int32) -> UInt64? {
    var value: UInt64 = 0
    var length = socklen_t(MemoryLayout<UInt64>.size)
    guard getsockopt(socket, SOL_SOCKET, SO_COOKIE, &value, &length) == 0 else { return nil }
    return value
}
