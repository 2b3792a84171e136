import CLinux
import Kernel
import SystemPackage

/// Sends what a program gets from outside into its private namespace, as if it came from there: from whatever address, by raw
/// sockets (raw(7), IP_HDRINCL).
final class PacketWriter {
    private let socket4: Descriptor
    /// nil where the kernel has no IPv6.
    private var socket6: Descriptor?

    /// For this thread's network namespace.
    init(hasIPv6: Bool) throws(Errno) {
        socket4 = try Self.socket(AF_INET)
        if hasIPv6 { socket6 = try Self.socket(AF_INET6) }
    }

    /// By `IPPROTO_RAW` it sends packets with their headers, and hears nothing.
    private static func socket(_ family: Int32) throws(Errno) -> Descriptor {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = Descriptor(owning: try check(CLinux.socket(family, type, Int32(IPPROTO_RAW))))
        try SocketOption.set(SOL_SOCKET, SO_MARK, of: descriptor.number, to: PacketMark.Fate.through.rawValue)
        return descriptor
    }

    func send(
        _ content: UnsafeRawBufferPointer, from source: SocketAddress, to destination: SocketAddress
    ) throws(Errno) {
        try send(
            PacketForm.datagramHeaders(from: source, to: destination, content), content, to: destination.host)
    }

    /// Tells a program that what it sent from `source` has not arrived.
    func send(_ failure: DatagramFailure, to source: SocketAddress) throws(Errno) {
        try send(PacketForm.notice(of: failure, to: source), .init(start: nil, count: 0), to: source.host)
    }

    private func send(
        _ headers: [UInt8], _ content: UnsafeRawBufferPointer, to host: SocketAddress.Host
    ) throws(Errno) {
        guard let number = host.family == AF_INET6 ? socket6?.number : socket4.number else {
            throw .addressFamilyNotSupported
        }
        try SocketAddress(host: host, port: 0).withSockaddr { (pointer, length) throws(Errno) in
            _ = try headers.withUnsafeBufferPointer { (headers) throws(Errno) in
                try withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { (parts) throws(Errno) in
                    parts[0] = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: headers.baseAddress), iov_len: headers.count)
                    parts[1] = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: content.baseAddress), iov_len: content.count)
                    var message = msghdr()
                    message.msg_name = UnsafeMutableRawPointer(mutating: pointer)
                    message.msg_namelen = length
                    message.msg_iov = parts.baseAddress
                    message.msg_iovlen = parts.count
                    return try retrying { usl_sendmsg_call(number, &message, Int32(MSG_DONTWAIT)) }
                }
            }
        }
    }
}
