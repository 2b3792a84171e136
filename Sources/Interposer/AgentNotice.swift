import CLinux

/// Sends a message to the agent without waiting for anything: one that is stopped, whose queue is full, or that is not there
/// does not get it.
func sendToAgent(_ message: ResolvedMessage) {
    let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
    let control = socket(AF_UNIX, Int32(type), 0)
    guard control >= 0 else { return }
    defer { _ = close(control) }
    let isConnected = withUnsafePointer(to: agentAddress) {
        let address = UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self)
        // Past our own hook. A full backlog is EAGAIN (unix(7)).
        return usl_connect(control, address, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
    }
    guard isConnected else { return }
    let header = ControlRequest.resolved(byteCount: message.count).encoded()
    var bytes = InlineArray<1648, UInt8>(repeating: 0)
    for index in 0..<ControlMessage.size { bytes[index] = header[index] }
    for index in 0..<message.count { bytes[ControlMessage.size + index] = message[index] }
    // One call, so that the agent finds either all of it or nothing. What is sent stays there when this end is closed.
    _ = withUnsafeBytes(of: &bytes) {
        send(control, $0.baseAddress, ControlMessage.size + message.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
}
