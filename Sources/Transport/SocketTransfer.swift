public import CLinux
import Kernel
import SystemPackage

extension TCPSocket {
    /// Reads once into one buffer.
    public func receive(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        let count = recv(number, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        return Self.result(of: count, wanted: buffer.count)
    }

    /// Looks at the next byte, and leaves it where it is.
    public func peek(_ byte: inout UInt8) -> TransferResult {
        withUnsafeMutableBytes(of: &byte) { peek(into: $0) }
    }

    /// Looks at what one read would bring, and leaves it where it is.
    public func peek(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        let count = recv(number, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK))
        return Self.result(of: count, wanted: buffer.count)
    }

    /// Writes once, as far as the send buffer has room.
    public func send(_ bytes: [UInt8]) -> TransferResult {
        let count = CLinux.send(number, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        return count >= 0 ? .bytes(count) : Self.failure()
    }

    /// Reads once into one buffer and then, if there is one, into another: the free space of a ring.
    public func receive(into first: iovec, _ second: iovec?) -> TransferResult {
        var vectors = (first, second ?? iovec())
        return withUnsafeMutablePointer(to: &vectors) { vectors in
            vectors.withMemoryRebound(to: iovec.self, capacity: 2) { vectors in
                var message = msghdr()
                message.msg_iov = vectors
                message.msg_iovlen = second == nil ? 1 : 2
                let count = recvmsg(number, &message, Int32(MSG_DONTWAIT))
                return Self.result(of: count, wanted: first.iov_len + (second?.iov_len ?? 0))
            }
        }
    }

    /// Writes spans one after the other, as far as the send buffer has room for them.
    public func send(_ spans: UnsafeBufferPointer<iovec>) -> TransferResult {
        var message = msghdr()
        message.msg_iov = UnsafeMutablePointer(mutating: spans.baseAddress)
        message.msg_iovlen = spans.count
        let count = sendmsg(number, &message, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        return count >= 0 ? .bytes(count) : Self.failure()
    }

    private static func result(of count: Int, wanted: Int) -> TransferResult {
        precondition(wanted > 0, "a read of nothing cannot be told from an end of file")
        if count > 0 { return .bytes(count) }
        return count == 0 ? .endOfStream : failure()
    }

    private static func failure() -> TransferResult {
        let code = usl_errno()
        // MSG_DONTWAIT never sleeps, so that there is no EINTR (signal(7)).
        return code == EAGAIN ? .wouldBlock : .failed(Errno(rawValue: code))
    }
}
