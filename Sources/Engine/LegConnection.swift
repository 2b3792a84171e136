import SystemPackage
import Transport

/// The local TCP connection to the application, or from the gateway to the server, as a driver holds it.
///
/// A leg is born with `SO_LINGER {1, 0}`: whatever ends this process ends the leg with a reset, never with a clean end
/// of a stream that may be cut short. Only a driver that has delivered both directions lifts that.
struct LegConnection: ~Copyable {
    let socket: TCPSocket
    let registration: Registration
    var isReadable = true
    var isWritable = true
    /// FIN, an error or urgent bytes have been reported, so a short read does not mean that nothing follows: a read ends
    /// before the urgent byte, also where that is left in the stream (in the kernel, tcp_recvmsg_locked).
    var hidesMore = false
    /// Why the connection broke, once it has. The kernel tells it once, to a read, a write or `SO_ERROR`; a later read
    /// sees an end of file.
    var failure: Errno?

    mutating func note(_ events: ReadyEvents) {
        if !events.isDisjoint(with: [.readable, .urgent, .peerClosed, .error, .hangup]) { isReadable = true }
        if !events.isDisjoint(with: [.writable, .error, .hangup]) { isWritable = true }
        if !events.isDisjoint(with: [.urgent, .peerClosed, .error, .hangup]) { hidesMore = true }
        if events.contains(.error), failure == nil {
            let error = try? socket.takeError()
            failure = error ?? nil
        }
    }
}
