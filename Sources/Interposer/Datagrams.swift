import CLinux

// Datagrams with a destination of their own, to ports that are listed, go to the relay that the agent names, and what comes from
// there has come from whom the application asked. All else passes through.

/// sendto(2) of the application.
@c(sendto)
public func interposedSendTo(
    _ socket: Int32, _ buffer: UnsafeRawPointer?, _ size: Int, _ flags: Int32, _ address: UnsafePointer<sockaddr>?,
    _ length: socklen_t
) -> Int {
    if flags & fastOpen != 0, let result = connectForSending(socket, address, length, flags) {
        return result < 0 ? -1 : nextSendTo(socket, buffer, size, flags & ~fastOpen, nil, 0)
    }
    guard isListed(address, length) else { return nextSendTo(socket, buffer, size, flags, address, length) }
    return sendListed(socket, buffer, size, flags, address, length)
}

@inline(never)
private func sendListed(
    _ socket: Int32, _ buffer: UnsafeRawPointer?, _ size: Int, _ flags: Int32, _ address: UnsafePointer<sockaddr>?,
    _ length: socklen_t
) -> Int {
    switch datagramWay(socket, address, length, connecting: false) {
    case .asIs: return nextSendTo(socket, buffer, size, flags, address, length)
    case .relay(let relay): return withAddress(relay) { nextSendTo(socket, buffer, size, flags, $0, $1) }
    case .refused(let code):
        usl_set_errno(code)
        return -1
    }
}

/// sendmsg(2) of the application.
@c(sendmsg)
public func interposedSendMessage(_ socket: Int32, _ message: UnsafePointer<msghdr>?, _ flags: Int32) -> Int {
    if flags & fastOpen != 0, let message,
        let result = connectForSending(
            socket, message.pointee.msg_name?.assumingMemoryBound(to: sockaddr.self), message.pointee.msg_namelen, flags
        )
    {
        guard result == 0 else { return -1 }
        // A copy: the caller's stays as it is.
        var rest = message.pointee
        (rest.msg_name, rest.msg_namelen) = (nil, 0)
        return nextSendMessage(socket, &rest, flags & ~fastOpen)
    }
    guard let message, isListed(message.pointee.msg_name, message.pointee.msg_namelen) else {
        return nextSendMessage(socket, message, flags)
    }
    return sendListed(socket, message, flags)
}

/// sendmmsg(2) of the application.
@c(sendmmsg)
public func interposedSendMessages(
    _ socket: Int32, _ messages: UnsafeMutablePointer<mmsghdr>?, _ count: UInt32, _ flags: Int32
) -> Int32 {
    guard let messages, flags & fastOpen != 0 || isAnyListed(messages, count) else {
        return nextSendMessages(socket, messages, count, flags)
    }
    // One by one. As the kernel does it: what fails after the first ends the call, and is no error of it.
    var sent: Int32 = 0
    let errnoBefore = usl_errno()
    while sent < Int32(clamping: count) {
        let result = interposedSendMessage(socket, &messages[Int(sent)].msg_hdr, flags)
        if result < 0 {
            if sent == 0 { return -1 }
            usl_set_errno(errnoBefore)
            break
        }
        messages[Int(sent)].msg_len = UInt32(truncatingIfNeeded: result)
        sent += 1
    }
    return sent
}

/// recvfrom(2) of the application.
@c(recvfrom)
public func interposedReceiveFrom(
    _ socket: Int32, _ buffer: UnsafeMutableRawPointer?, _ size: Int, _ flags: Int32,
    _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int {
    let room = length?.pointee ?? 0
    let result = nextReceiveFrom(socket, buffer, size, flags, address, length)
    if result >= 0 { restoreSource(address, length, room: room) }
    return result
}

/// What recvfrom(2) is to programs that are built with `_FORTIFY_SOURCE` (feature_test_macros(7)).
@c(__recvfrom_chk)
public func interposedCheckedReceiveFrom(
    _ socket: Int32, _ buffer: UnsafeMutableRawPointer?, _ size: Int, _ bufferSize: Int, _ flags: Int32,
    _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int {
    // As libc does: the program would write past its buffer.
    guard size <= bufferSize else { abort() }
    return interposedReceiveFrom(socket, buffer, size, flags, address, length)
}

/// recvmsg(2) of the application.
@c(recvmsg)
public func interposedReceiveMessage(_ socket: Int32, _ message: UnsafeMutablePointer<msghdr>?, _ flags: Int32) -> Int {
    let room = message?.pointee.msg_namelen ?? 0
    let result = nextReceiveMessage(socket, message, flags)
    if result >= 0, let message { restoreSource(message, room: room) }
    return result
}

/// recvmmsg(2) of the application.
@c(recvmmsg)
public func interposedReceiveMessages(
    _ socket: Int32, _ messages: UnsafeMutablePointer<mmsghdr>?, _ count: UInt32, _ flags: Int32,
    _ timeout: UnsafeMutablePointer<timespec>?
) -> Int32 {
    guard areDatagramsRelayed, let messages else {
        return nextReceiveMessages(socket, messages, count, flags, timeout)
    }
    // The kernel writes the length of each address over the room for it. They are all alike in every program but strange ones.
    var room = socklen_t.max
    for index in 0..<Int(count) where messages[index].msg_hdr.msg_name != nil {
        room = min(room, messages[index].msg_hdr.msg_namelen)
    }
    let result = nextReceiveMessages(socket, messages, count, flags, timeout)
    for index in 0..<max(0, Int(result)) { restoreSource(&messages[index].msg_hdr, room: room) }
    return result
}

@inline(never)
private func sendListed(_ socket: Int32, _ message: UnsafePointer<msghdr>, _ flags: Int32) -> Int {
    let address = UnsafePointer(message.pointee.msg_name?.assumingMemoryBound(to: sockaddr.self))
    guard !choosesPath(message) else { return nextSendMessage(socket, message, flags) }
    switch datagramWay(socket, address, message.pointee.msg_namelen, connecting: false) {
    case .asIs: return nextSendMessage(socket, message, flags)
    case .relay(let relay):
        // A copy: the caller's stays as it is.
        var redirected = message.pointee
        return withAddress(relay) {
            redirected.msg_name = UnsafeMutableRawPointer($0)
            redirected.msg_namelen = $1
            return nextSendMessage(socket, &redirected, flags)
        }
    case .refused(let code):
        usl_set_errno(code)
        return -1
    }
}

/// Whether control messages say which way a datagram shall go, such as `IP_PKTINFO`: then there is none to be found.
private func choosesPath(_ message: UnsafePointer<msghdr>) -> Bool {
    var copy = message.pointee
    var next = usl_cmsg_firsthdr(&copy)
    while let header = next {
        let level = header.pointee.cmsg_level
        if level == Int32(IPPROTO_IP) || level == Int32(IPPROTO_IPV6) { return true }
        next = usl_cmsg_nxthdr(&copy, header)
    }
    return false
}

private func isAnyListed(_ messages: UnsafeMutablePointer<mmsghdr>, _ count: UInt32) -> Bool {
    guard areDatagramsRelayed else { return false }
    for index in 0..<Int(count) {
        let header = messages[index].msg_hdr
        if isListed(header.msg_name, header.msg_namelen) { return true }
    }
    return false
}

@inline(__always)
private func restoreSource(_ message: UnsafeMutablePointer<msghdr>, room: socklen_t) {
    restoreSource(message.pointee.msg_name, &message.pointee.msg_namelen, room: room)
}
