import CLinux
import Kernel
import SystemPackage

/// A message with what the kernel says beside it (recvmsg(2), cmsg(3)).
enum AncillaryMessage {
    /// Enough for an address, or for an error with one.
    private static let room = 256

    /// Takes the next message.
    ///
    /// - Parameters:
    ///   - buffer: gets its content.
    ///   - each: gets the level, type and content of each control message, before this returns.
    /// - Returns: the length of its content, and whose it is; nil if none waits.
    static func receive(
        over socket: Int32, into buffer: UnsafeMutableRawBufferPointer, flags: Int32 = 0,
        _ each: (_ level: Int32, _ type: Int32, UnsafeRawBufferPointer) -> Void
    ) throws(Errno) -> (count: Int, name: SocketAddress?)? {
        try withUnsafeTemporaryAllocation(byteCount: room, alignment: 8) { (control) throws(Errno) in
            var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
            return try withUnsafeMutablePointer(to: &part) { (part) throws(Errno) in
                var name = sockaddr_storage()
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = control.count
                let count: Int
                do throws(Errno) {
                    count = try withUnsafeMutablePointer(to: &name) { (name) throws(Errno) in
                        message.msg_name = UnsafeMutableRawPointer(name)
                        message.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
                        return try retrying { usl_recvmsg_call(socket, &message, flags | Int32(MSG_DONTWAIT)) }
                    }
                } catch .wouldBlock {
                    return nil
                }
                let sender = withUnsafePointer(to: &name) {
                    SocketAddress(
                        UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), length: message.msg_namelen)
                }
                var next = usl_cmsg_firsthdr(&message)
                while let header = next {
                    let length = Int(header.pointee.cmsg_len) - Int(usl_cmsg_len(0))
                    let content = UnsafeRawBufferPointer(start: usl_cmsg_data(header), count: max(0, length))
                    each(header.pointee.cmsg_level, header.pointee.cmsg_type, content)
                    next = usl_cmsg_nxthdr(&message, header)
                }
                return (count, sender)
            }
        }
    }

    /// An address among control messages.
    static func address(_ content: UnsafeRawBufferPointer) -> SocketAddress? {
        guard let start = content.baseAddress else { return nil }
        return SocketAddress(start.assumingMemoryBound(to: sockaddr.self), length: socklen_t(content.count))
    }
}
