import CLinux
public import SystemPackage

/// Messages with at most one descriptor over a Unix socket (`SCM_RIGHTS`, unix(7)).
public enum DescriptorPassing {
    /// Sends `bytes` and, if given, a copy of the descriptor `passing`. The kernel holds the copy from here on, also
    /// when this process dies before the receiver reads it.
    ///
    /// - Returns: bytes sent; on a `SOCK_SEQPACKET` socket always all of them.
    @discardableResult
    public static func send(_ bytes: [UInt8], passing descriptor: Int32? = nil, over socket: Int32) throws(Errno) -> Int
    {
        var control = ControlBuffer()
        return try bytes.withUnsafeBufferPointer { (payload) throws(Errno) -> Int in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: payload.baseAddress), iov_len: payload.count)
            return try withUnsafeMutablePointer(to: &vector) { (vector) throws(Errno) -> Int in
                try control.withMessage(vector) { (message) throws(Errno) -> Int in
                    if let descriptor {
                        let header = usl_cmsg_firsthdr(message)!
                        header.pointee.cmsg_level = SOL_SOCKET
                        header.pointee.cmsg_type = Int32(SCM_RIGHTS)
                        header.pointee.cmsg_len = usl_cmsg_len(MemoryLayout<Int32>.size)
                        UnsafeMutableRawPointer(usl_cmsg_data(header)!).storeBytes(of: descriptor, as: Int32.self)
                        message.pointee.msg_controllen = usl_cmsg_space(MemoryLayout<Int32>.size)
                    } else {
                        message.pointee.msg_control = nil
                        message.pointee.msg_controllen = 0
                    }
                    return try retrying { sendmsg(socket, message, Int32(MSG_NOSIGNAL)) }
                }
            }
        }
    }

    /// Receives up to `capacity` bytes and the descriptor that came with them, if any.
    ///
    /// - Returns: nil at end of file.
    public static func receive(capacity: Int, over socket: Int32) throws(Errno) -> Received? {
        var control = ControlBuffer()
        var bytes = [UInt8](repeating: 0, count: capacity)
        var passed: Int32?
        let count = try bytes.withUnsafeMutableBufferPointer { (payload) throws(Errno) -> Int in
            var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
            return try withUnsafeMutablePointer(to: &vector) { (vector) throws(Errno) -> Int in
                try control.withMessage(vector) { (message) throws(Errno) -> Int in
                    // Exactly one: a sender of more would leave us with descriptors that nobody closes.
                    message.pointee.msg_controllen = usl_cmsg_len(MemoryLayout<Int32>.size)
                    let count = try retrying { recvmsg(socket, message, Int32(MSG_CMSG_CLOEXEC)) }
                    var header = usl_cmsg_firsthdr(message)
                    while let current = header {
                        if current.pointee.cmsg_level == SOL_SOCKET,
                            current.pointee.cmsg_type == Int32(SCM_RIGHTS)
                        {
                            passed = UnsafeRawPointer(usl_cmsg_data(current)!).load(as: Int32.self)
                        }
                        header = usl_cmsg_nxthdr(message, current)
                    }
                    return count
                }
            }
        }
        let descriptor = passed.map { Descriptor(owning: $0) }
        if count == 0 && passed == nil { return nil }
        bytes.removeLast(capacity - count)
        return Received(bytes: bytes, descriptor: descriptor)
    }

    public struct Received: ~Copyable {
        public let bytes: [UInt8]
        public var descriptor: Descriptor?
    }
}

/// Aligned room for the control message of one descriptor: `CMSG_SPACE(sizeof(int))` is 24 bytes on 64-bit Linux.
private struct ControlBuffer {
    private var words: (UInt64, UInt64, UInt64) = (0, 0, 0)

    mutating func withMessage<Result>(
        _ vector: UnsafeMutablePointer<iovec>,
        _ body: (UnsafeMutablePointer<msghdr>) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try withUnsafeMutableBytes(of: &words) { (room) throws(Errno) -> Result in
            var message = msghdr()
            message.msg_iov = vector
            message.msg_iovlen = 1
            message.msg_control = room.baseAddress
            message.msg_controllen = room.count
            return try withUnsafeMutablePointer(to: &message, body)
        }
    }
}
