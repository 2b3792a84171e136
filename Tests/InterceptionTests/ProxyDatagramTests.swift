import Testing

@testable import Interception

/// The header of a datagram between a client of the SOCKS port and its association.
@Suite("SOCKS5 datagrams") struct ProxyDatagramTests {
    static let headers: [([UInt8], ProxyAddress)] = [
        ([0, 0, 0, 1, 192, 0, 2, 1, 0, 53], ProxyAddress(host: .v4(0xc000_0201), port: 53)),
        (
            [0, 0, 0, 4, 0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [7, 0, 123],
            ProxyAddress(host: .v6(high: 0x2001_0db8_0000_0000, low: 7), port: 123)
        ),
        ([0, 0, 0, 3, 2, 0x6e, 0x73, 0, 53], ProxyAddress(host: .name("ns"), port: 53)),
        (
            [0, 0, 0, 3, 255] + [UInt8](repeating: 0x61, count: 255) + [255, 255],
            ProxyAddress(host: .name(String(repeating: "a", count: 255)), port: 65_535)
        ),
    ]

    @Test("read and written", arguments: headers)
    func header(bytes: [UInt8], address: ProxyAddress) throws {
        for content in [[], [0], Array("what is asked".utf8)] as [[UInt8]] {
            let datagram = try #require(ProxyDatagram((bytes + content)[...]))
            #expect(datagram.address == address && datagram.fragment == 0 && datagram.headerLength == bytes.count)
        }
        // Wherever it stands.
        #expect(ProxyDatagram(([9, 9] + bytes)[2...])?.address == address)
        #expect(ProxyDatagram.header(from: address) == bytes)
        #expect(bytes.count <= ProxyDatagram.longestHeader)
    }

    @Test("cut short", arguments: headers)
    func truncated(bytes: [UInt8], address: ProxyAddress) {
        for count in bytes.indices { #expect(ProxyDatagram(bytes[..<count]) == nil, "\(count)") }
    }

    @Test(
        "what is none",
        arguments: [
            [1, 0, 0, 1, 192, 0, 2, 1, 0, 53], [0, 1, 0, 1, 192, 0, 2, 1, 0, 53], [0, 0, 0, 0, 192, 0, 2, 1, 0, 53],
            [0, 0, 0, 2, 192, 0, 2, 1, 0, 53], [0, 0, 0, 3, 0, 0, 53], [0, 0, 0, 3, 2, 0x6e, 0x20, 0, 53],
            [0, 0, 0, 3, 2, 0x6e, 0, 0, 53],
        ] as [[UInt8]])
    func malformed(bytes: [UInt8]) { #expect(ProxyDatagram(bytes[...]) == nil) }

    @Test("fragments are known as such")
    func fragments() {
        for fragment in UInt8.min...UInt8.max {
            #expect(ProxyDatagram([0, 0, fragment, 1, 192, 0, 2, 1, 0, 53][...])?.fragment == fragment)
        }
    }

    @Test("an association is asked for, and what follows is not taken")
    func request() {
        let asked = SocksNegotiationTests.greeting + [5, 3, 0, 1, 0, 0, 0, 0, 0x9c, 0x40]
        for size in [1, 2, 3, 7, 64, .max] {
            let found = Negotiated(asked + [1, 2], inPiecesOf: size)
            #expect(found.announced == ProxyAddress(host: .v4(0), port: 40_000) && found.asked == nil)
            #expect(found.said == [[5, 0]] && found.left == [1, 2])
        }
        // Who must log in must do so for this too.
        #expect(Negotiated(asked, users: SocksNegotiationTests.users).announced == nil)
    }
}
