import CLinux
import Kernel

/// Headers of packets that the donor makes by itself (RFC 768, RFC 791, RFC 792, RFC 4443, RFC 8200).
enum PacketForm {
    /// What UDP's checksum is where there is none; over IPv6 there must be one.
    private static let noChecksum: UInt16 = 0
    private static let hops: UInt8 = 64

    /// The headers of a datagram, up to its content.
    static func datagramHeaders(
        from source: SocketAddress, to destination: SocketAddress, _ content: UnsafeRawBufferPointer
    ) -> [UInt8] {
        var datagram = udpHeader(from: source, to: destination, contentLength: content.count)
        if source.family == AF_INET6 {
            var sum = InternetChecksum()
            sum.add(pseudoHeader(source.host, destination.host, length: datagram.count + content.count, IPPROTO_UDP))
            sum.add(datagram)
            sum.add(content)
            // RFC 768: zero is sent as its other form.
            datagram.put(sum.value == 0 ? 0xffff : sum.value, at: 6)
        }
        return ipHeader(
            from: source.host, to: destination.host, length: datagram.count + content.count, IPPROTO_UDP) + datagram
    }

    /// A message of ICMP that a datagram has not arrived.
    ///
    /// - Parameter source: where the datagram came from.
    static func notice(of failure: DatagramFailure, to source: SocketAddress) -> [UInt8] {
        let inner =
            ipHeader(from: source.host, to: failure.destination.host, length: 8, IPPROTO_UDP)
            + udpHeader(from: source, to: failure.destination, contentLength: 0)
        var message = [failure.type, failure.code, 0, 0, 0, 0, 0, 0] + inner
        let author = failure.author ?? failure.destination.host
        let isIPv6 = source.family == AF_INET6
        let transport = isIPv6 ? Int(IPPROTO_ICMPV6) : IPPROTO_ICMP
        var sum = InternetChecksum()
        if isIPv6 { sum.add(pseudoHeader(author, source.host, length: message.count, transport)) }
        sum.add(message)
        message.put(sum.value, at: 2)
        return ipHeader(from: author, to: source.host, length: message.count, transport) + message
    }

    private static func udpHeader(
        from source: SocketAddress, to destination: SocketAddress, contentLength: Int
    ) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 8)
        header.put(source.port, at: 0)
        header.put(destination.port, at: 2)
        header.put(UInt16(truncatingIfNeeded: 8 + contentLength), at: 4)
        header.put(noChecksum, at: 6)
        return header
    }

    private static func ipHeader(
        from source: SocketAddress.Host, to destination: SocketAddress.Host, length: Int,
        _ transport: some BinaryInteger
    ) -> [UInt8] {
        if source.family == AF_INET6 {
            var header: [UInt8] = [0x60, 0, 0, 0, 0, 0, UInt8(transport), hops]
            header.put(UInt16(truncatingIfNeeded: length), at: 4)
            return header + source.networkBytes + destination.networkBytes
        }
        // The kernel fills the checksum in (raw(7), IP_HDRINCL).
        var header: [UInt8] = [0x45, 0, 0, 0, 0, 0, 0, 0, hops, UInt8(transport), 0, 0]
        header.put(UInt16(truncatingIfNeeded: 20 + length), at: 2)
        return header + source.networkBytes + destination.networkBytes
    }

    /// What checksums of IPv6's transports begin with (RFC 8200, 8.1).
    private static func pseudoHeader(
        _ source: SocketAddress.Host, _ destination: SocketAddress.Host, length: Int, _ transport: some BinaryInteger
    ) -> [UInt8] {
        withUnsafeBytes(of: UInt32(length).bigEndian) {
            source.networkBytes + destination.networkBytes + Array($0) + [0, 0, 0, UInt8(transport)]
        }
    }
}

/// The Internet checksum (RFC 1071) of several parts, each but the last of even length.
struct InternetChecksum {
    private var sum: UInt64 = 0

    mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        // Its order of bytes does not matter before the end (RFC 1071, 2 B), nor the width of what is added.
        var index = 0
        while index + 4 <= bytes.count {
            sum += UInt64(bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self))
            index += 4
        }
        var rest: UInt32 = 0
        withUnsafeMutableBytes(of: &rest) { room in
            for offset in index..<bytes.count { room[offset - index] = bytes[offset] }
        }
        sum += UInt64(rest)
    }

    var value: UInt16 {
        var folded = sum
        while folded > 0xffff { folded = folded & 0xffff + folded >> 16 }
        return ~UInt16(bigEndian: UInt16(folded))
    }
}

extension [UInt8] {
    /// In network byte order.
    fileprivate mutating func put(_ value: UInt16, at index: Int) {
        self[index] = UInt8(value >> 8)
        self[index + 1] = UInt8(truncatingIfNeeded: value)
    }
}

extension SocketAddress.Host {
    /// In network byte order.
    var networkBytes: [UInt8] {
        switch self {
        case .v4(let address): withUnsafeBytes(of: address.bigEndian) { Array($0) }
        case .v6(let high, let low, _): withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Array($0) }
        }
    }
}
