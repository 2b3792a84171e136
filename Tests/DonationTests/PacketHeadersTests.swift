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

    @Test("the checksum of RFC 1071's example")
    func checksum() {
        #expect(UnreachableNotice.checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == ~0xddf2)
        #expect(UnreachableNotice.checksum([0xff]) == 0x00ff)
    }
}
