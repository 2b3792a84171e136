import CLinux

// What the agent says about datagrams: where to send them, and who has sent what comes from there.

/// Where a datagram goes.
enum DatagramWay {
    case asIs
    case relay(AddressBytes)
    case refused(Int32)
}

/// Asks the agent where to send datagrams for `address`, whose port is listed. errno stays as it was.
func datagramWay(
    _ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t, connecting: Bool
) -> DatagramWay {
    let errnoBefore = usl_errno()
    defer { usl_set_errno(errnoBefore) }
    guard isUDP(socket), let asked = internetAddress(address, length) else { return .asIs }
    var signals = SignalWatch()
    switch askAgent(.associate(to: asked, connecting: connecting), passing: socket, signals: &signals) {
    case .response(.leg(let relay)): return .relay(relay)
    case .response(.refused(let code)): return .refused(code)
    case .response: return .asIs
    case .attempt: return .asIs
    case .unreachable: return .asIs
    case .timedOut: return .asIs
    }
}

/// Lends an address in the kernel's form.
@inline(__always)
func withAddress<Result>(_ address: AddressBytes, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Result)
    -> Result
{
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) {
        for index in 0..<address.count { $0[index] = address[index] }
        return body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count))
    }
}

/// connect(2) of a UDP socket. nil if this is none, or one that does not concern USL.
func connectDatagramSocket(_ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> Int32? {
    guard areDatagramsRelayed, let address, length >= socklen_t(MemoryLayout<sockaddr_in>.size),
        address.pointee.sa_family != sa_family_t(AF_UNSPEC)
    else { return nil }
    let errnoBefore = usl_errno()
    leaveRelay(socket)
    usl_set_errno(errnoBefore)
    guard isListed(address, length) else { return nil }
    switch datagramWay(socket, address, length, connecting: true) {
    case .asIs: return nil
    case .relay(let relay): return withAddress(relay) { nextConnect(socket, $0, $1) }
    case .refused(let code):
        usl_set_errno(code)
        return -1
    }
}

/// Takes a UDP socket off the relay that it is connected to.
private func leaveRelay(_ socket: Int32) {
    if relay(of: socket) != nil {
        // The kernel has given it a loopback address for that, from where there is no way to anywhere else.
        var nowhere = sockaddr()
        nowhere.sa_family = sa_family_t(AF_UNSPEC)
        _ = nextConnect(socket, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }
}

/// The address of the relay that a UDP socket is connected to, possibly.
func relay(of socket: Int32) -> AddressBytes? {
    guard isUDP(socket), let peer = peerName(of: socket) else { return nil }
    var storage = sockaddr_in6()
    let mayBe = withUnsafeMutableBytes(of: &storage) { bytes in
        for index in 0..<peer.count { bytes[index] = peer[index] }
        return RelayAddress.mayBe(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<peer.count]))
    }
    return mayBe ? peer : nil
}

/// The address of the other end, as the kernel knows it; nil if the socket is not connected, or over another family.
func peerName(of socket: Int32) -> AddressBytes? { name(nextPeerName, of: socket) }

/// The kernel's local address of a socket.
func localName(of socket: Int32) -> AddressBytes? { name(nextLocalName, of: socket) }

private func name(
    _ next: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32, of socket: Int32
) -> AddressBytes? {
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) { bytes in
        var length = socklen_t(bytes.count)
        let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
        guard next(socket, address, &length) == 0 else { return nil }
        return internetAddress(address, length)
    }
}

/// Puts the address that the application asked for in the place of its relay's.
///
/// - Parameters:
///   - length: of the address, as the kernel says it: more than `room` if it was cut off.
@inline(__always)
func restoreSource(
    _ address: UnsafeMutableRawPointer?, _ length: UnsafeMutablePointer<socklen_t>?, room: socklen_t
) {
    guard areDatagramsRelayed, let address, let length,
        RelayAddress.mayBe(UnsafeRawBufferPointer(start: address, count: Int(min(room, length.pointee))))
    else { return }
    askForSource(address, length, room: room)
}

@inline(never)
private func askForSource(
    _ address: UnsafeMutableRawPointer, _ length: UnsafeMutablePointer<socklen_t>, room: socklen_t
) {
    let errnoBefore = usl_errno()
    defer { usl_set_errno(errnoBefore) }
    // Cut off, it is not known whose it is.
    guard length.pointee <= room,
        let relay = internetAddress(address.assumingMemoryBound(to: sockaddr.self), length.pointee)
    else { return }
    tell(.relayed(at: relay, local: false), address, length, room: room)
}

private func isUDP(_ socket: Int32) -> Bool { integerOption(socket, SO_PROTOCOL) == Int32(IPPROTO_UDP) }
