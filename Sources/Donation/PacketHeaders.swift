import CLinux
import Kernel

/// The headers of a packet, as far as they name its connection (RFC 791, RFC 8200, RFC 9293).
enum PacketHeaders {
    /// With how many hops a new network namespace begins (`net.ipv4.ip_default_ttl`, `net.ipv6.conf.*.hop_limit`).
    private static let kernelHops: UInt8 = 64

    /// Source and destination of a TCP packet, from its IP header on; nil if it is none, or none whose ports are there.
    static func addresses(of packet: [UInt8]) -> (SocketAddress, SocketAddress)? {
        transport(of: packet, IPPROTO_TCP).map { ($0.source, $0.destination) }
    }

    /// A packet of UDP, from its IP header on; nil if it is none, or not all of it is there.
    static func datagram(_ packet: [UInt8]) -> Datagram? {
        guard let found = transport(of: packet, IPPROTO_UDP) else { return nil }
        // RFC 768: source, destination, length with this header, checksum.
        let start = found.start + 8
        guard packet.count >= start else { return nil }
        let length: UInt16 = integer(packet, found.start + 4)
        let end = found.start + Int(length)
        guard end >= start, end <= packet.count else { return nil }
        let isIPv6 = found.source.family == AF_INET6
        let (hops, traffic) = isIPv6 ? (packet[7], packet[0] << 4 | packet[1] >> 4) : (packet[8], packet[1])
        return Datagram(
            source: found.source, destination: found.destination, content: packet[start..<end],
            hops: hops == kernelHops ? nil : hops,
            trafficClass: traffic)
    }

    private static func transport(
        of packet: [UInt8], _ transport: some BinaryInteger
    ) -> (source: SocketAddress, destination: SocketAddress, start: Int)? {
        guard let first = packet.first else { return nil }
        switch first >> 4 {
        case 4:
            let length = Int(first & 0xf) * 4
            guard length >= 20, packet.count >= length + 4, packet[9] == UInt8(transport) else { return nil }
            return (
                SocketAddress(host: .v4(integer(packet, 12)), port: integer(packet, length)),
                SocketAddress(host: .v4(integer(packet, 16)), port: integer(packet, length + 2)), length
            )
        case 6:
            // The kernel puts no extension headers before these unless a program asks for them (ipv6(7), IPV6_HOPOPTS).
            guard packet.count >= 44, packet[6] == UInt8(transport) else { return nil }
            return (
                SocketAddress(host: host6(packet, 8), port: integer(packet, 40)),
                SocketAddress(host: host6(packet, 24), port: integer(packet, 42)), 40
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
