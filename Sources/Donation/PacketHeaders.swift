import CLinux
import Kernel

/// The headers of a packet, as far as they name its connection (RFC 791, RFC 8200, RFC 9293).
enum PacketHeaders {
    /// Source and destination of a TCP packet, from its IP header on; nil if it is none, or none whose ports are there.
    static func addresses(of packet: [UInt8]) -> (SocketAddress, SocketAddress)? {
        guard let first = packet.first else { return nil }
        switch first >> 4 {
        case 4:
            let length = Int(first & 0xf) * 4
            guard length >= 20, packet.count >= length + 4, packet[9] == UInt8(IPPROTO_TCP) else { return nil }
            return (
                SocketAddress(host: .v4(integer(packet, 12)), port: integer(packet, length)),
                SocketAddress(host: .v4(integer(packet, 16)), port: integer(packet, length + 2))
            )
        case 6:
            // The kernel puts no extension headers before TCP unless a program asks for them (ipv6(7), IPV6_HOPOPTS).
            guard packet.count >= 44, packet[6] == UInt8(IPPROTO_TCP) else { return nil }
            return (
                SocketAddress(host: host6(packet, 8), port: integer(packet, 40)),
                SocketAddress(host: host6(packet, 24), port: integer(packet, 42))
            )
        default: return nil
        }
    }

    private static func host6(_ packet: [UInt8], _ offset: Int) -> SocketAddress.Host {
        .v6(high: integer(packet, offset), low: integer(packet, offset + 8), scope: 0)
    }

    /// A number in network byte order.
    private static func integer<Value: FixedWidthInteger>(_ packet: [UInt8], _ offset: Int) -> Value {
        packet[offset..<offset + Value.bitWidth / 8].reduce(0) { $0 << 8 | Value($1) }
    }
}
