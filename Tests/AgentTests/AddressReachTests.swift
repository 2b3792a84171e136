import Kernel
import Testing

@testable import Agent

@Suite("Address reach")
struct AddressReachTests {
    static func host(_ text: String) throws -> SocketAddress.Host { try #require(SocketAddress.Host(numeric: text)) }

    @Test(
        "how far away an address means the same machine",
        arguments: [
            ("127.0.0.1", AddressReach.host), ("127.255.255.255", .host), ("::1", .host), ("::ffff:127.0.0.1", .host),
            ("10.0.0.1", .network), ("172.16.0.1", .network), ("172.31.255.255", .network), ("192.168.1.1", .network),
            ("100.64.0.1", .network), ("100.127.255.255", .network), ("169.254.1.1", .network),
            ("fe80::1", .network), ("febf::1", .network), ("fec0::1", .network), ("fc00::1", .network),
            ("fd77::1", .network), ("::ffff:10.0.0.1", .network), ("64:ff9b::10.0.0.1", .network),
            ("2002:a00:1::1", .network), ("2002:7f00:1::1", .host), ("::10.0.0.1", .network),
            ("9.255.255.255", .everywhere), ("11.0.0.1", .everywhere), ("172.15.0.1", .everywhere),
            ("172.32.0.1", .everywhere), ("192.167.0.1", .everywhere), ("100.63.0.1", .everywhere),
            ("100.128.0.1", .everywhere), ("192.0.2.1", .everywhere), ("223.255.255.255", .everywhere),
            ("2001:db8::1", .everywhere), ("64:ff9b::192.0.2.1", .everywhere), ("2002:c000:201::1", .everywhere),
        ])
    func reach(text: String, expected: AddressReach) throws {
        #expect(AddressReach(try Self.host(text)) == expected)
    }

    @Test(
        "nobody connects there",
        arguments: [
            "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1",
            "::ffff:0.0.0.0", "::ffff:224.0.0.1", "64:ff9b::", "2002:e000:1::1",
        ])
    func none(text: String) throws {
        #expect(AddressReach(try Self.host(text)) == nil)
        for allowsPrivate in [false, true] {
            let isAllowed = AddressReach.allows(
                try Self.host(text), inPlaceOf: try Self.host("10.0.0.1"), allowsPrivate: allowsPrivate)
            #expect(!isAllowed)
        }
    }

    @Test(
        "what is nearer than the asked address is allowed only where that is configured",
        arguments: [
            ("192.0.2.1", "198.51.100.1", true), ("192.0.2.1", "10.0.0.1", false), ("192.0.2.1", "127.0.0.1", false),
            ("2001:db8::1", "fd00::1", false), ("10.0.0.1", "192.168.1.1", true), ("10.0.0.1", "fe80::1", true),
            ("10.0.0.1", "192.0.2.1", true), ("10.0.0.1", "127.0.0.1", false), ("127.0.0.1", "::1", true),
        ])
    func allowed(asked: String, alternate: String, expected: Bool) throws {
        let (asked, alternate) = (try Self.host(asked), try Self.host(alternate))
        #expect(AddressReach.allows(alternate, inPlaceOf: asked, allowsPrivate: false) == expected)
        #expect(AddressReach.allows(alternate, inPlaceOf: asked, allowsPrivate: true))
    }
}
