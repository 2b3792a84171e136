import CLinux
import Kernel
import Testing

@testable import Donation

@Suite("Headers of held packets")
struct PacketHeadersTests {
    /// A SYN over IPv4 with four bytes of options, from 192.0.2.1:4660 to 198.51.100.2:80.
    private let ipv4: [UInt8] =
        [0x46, 0, 0, 64, 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, 1, 1, 1, 1] + [0x12, 0x34, 0, 80]
    /// A SYN over IPv6, from [2001:db8::1]:4660 to [2001:db8::2]:443.
    private let ipv6: [UInt8] =
        [0x60, 0, 0, 0, 0, 40, 6, 64] + [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
        + [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [2] + [0x12, 0x34, 1, 0xbb]

    @Test("the ends of a connection")
    func addresses() throws {
        let (source4, destination4) = try #require(PacketHeaders.addresses(of: ipv4))
        #expect(source4 == SocketAddress("192.0.2.1:4660"))
        #expect(destination4 == SocketAddress("198.51.100.2:80"))
        let (source6, destination6) = try #require(PacketHeaders.addresses(of: ipv6))
        #expect(source6 == SocketAddress("[2001:db8::1]:4660"))
        #expect(destination6 == SocketAddress("[2001:db8::2]:443"))
    }

    @Test("what is cut short anywhere is none")
    func truncated() {
        for packet in [ipv4, ipv6] {
            for count in packet.indices { #expect(PacketHeaders.addresses(of: Array(packet[..<count])) == nil) }
        }
    }

    @Test("other protocols are none")
    func others() {
        var (udp4, udp6, tooShort) = (ipv4, ipv6, ipv4)
        udp4[9] = 17
        udp6[6] = 17
        tooShort[0] = 0x44
        for packet in [udp4, udp6, tooShort, [0x50] + ipv4.dropFirst()] {
            #expect(PacketHeaders.addresses(of: packet) == nil)
        }
    }

    /// From 192.0.2.1:4660 to 198.51.100.2:53, TTL 7 and TOS 0x2e, `hello`; and the same over IPv6.
    private let datagram4: [UInt8] =
        [0x45, 0x2e, 0, 33, 0, 1, 0x40, 0, 7, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 53, 0, 13, 0, 0]
        + Array("hello".utf8)
    private let datagram6: [UInt8] =
        [0x62, 0xe0, 0, 0, 0, 13, 17, 64] + [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
        + [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [2] + [0x12, 0x34, 0, 53, 0, 13, 0, 0]
        + Array("hello".utf8)

    @Test("a datagram, and what its program says of it")
    func datagrams() throws {
        let found4 = try #require(PacketHeaders.datagram(datagram4))
        #expect(
            found4.source == SocketAddress("192.0.2.1:4660") && found4.destination == SocketAddress("198.51.100.2:53"))
        #expect(found4.hops == 7 && found4.trafficClass == 0x2e && Array(found4.content) == Array("hello".utf8))
        let found6 = try #require(PacketHeaders.datagram(datagram6))
        #expect(
            found6.source == SocketAddress("[2001:db8::1]:4660")
                && found6.destination == SocketAddress("[2001:db8::2]:53"))
        // As many hops as every packet has.
        #expect(found6.hops == nil && found6.trafficClass == 0x2e && Array(found6.content) == Array("hello".utf8))
    }

    @Test("no datagram: cut short, with a wrong length, or of TCP")
    func noDatagrams() {
        for packet in [datagram4, datagram6] {
            for count in packet.indices { #expect(PacketHeaders.datagram(Array(packet[..<count])) == nil) }
            var (long, short) = (packet, packet)
            long[packet.count - 8] = 14
            short[packet.count - 8] = 7
            #expect(PacketHeaders.datagram(long) == nil && PacketHeaders.datagram(short) == nil)
        }
        #expect(PacketHeaders.datagram(ipv4) == nil && PacketHeaders.datagram(ipv6) == nil)
    }

    @Test("packets that are made here are read here", arguments: ["192.0.2.1:4660", "[2001:db8::1]:4660"])
    func madeAndRead(source: String) throws {
        let source = try #require(SocketAddress(source))
        let destination = SocketAddress(host: source.host, port: 53)
        for content in [[], Array("hello".utf8), [UInt8](repeating: 0xff, count: 65_507)] {
            let packet =
                content.withUnsafeBytes { PacketForm.datagramHeaders(from: source, to: destination, $0) } + content
            let found = try #require(PacketHeaders.datagram(packet))
            #expect(found.source == source && found.destination == destination && Array(found.content) == content)
        }
    }

    @Test("a message of ICMP is of its datagram, and sums up", arguments: ["192.0.2.1:4660", "[2001:db8::1]:4660"])
    func notices(source: String) throws {
        let source = try #require(SocketAddress(source))
        let destination = SocketAddress(host: source.host, port: 53)
        let failure = try #require(DatagramFailure(.connectionRefused, sendingTo: destination))
        let packet = PacketForm.notice(of: failure, to: source)
        let isIPv6 = source.family == AF_INET6
        let header = isIPv6 ? 40 : 20
        #expect(Array(packet[header..<header + 2]) == (isIPv6 ? [1, 4] : [3, 3]))
        let inner = try #require(PacketHeaders.datagram(Array(packet[(header + 8)...])))
        #expect(inner.source == source && inner.destination == destination)
        var sum = InternetChecksum()
        if isIPv6 {
            let length = packet.count - header
            sum.add(Array(packet[8..<40]) + [0, 0, 0, UInt8(length), 0, 0, 0, UInt8(IPPROTO_ICMPV6)])
        }
        sum.add(Array(packet[header...]))
        #expect(sum.value == 0)
        #expect(DatagramFailure(.messageTooLong, sendingTo: destination) == nil)
    }

    @Test("the checksum of RFC 1071's example")
    func checksum() {
        func checksum(_ bytes: [UInt8]) -> UInt16 {
            var sum = InternetChecksum()
            sum.add(bytes)
            return sum.value
        }
        #expect(checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == ~0xddf2)
        #expect(checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5]) == ~0xe6fa)
        #expect(checksum([0xff]) == 0x00ff)
        #expect(checksum([]) == 0xffff)
    }
}
