import Testing

@testable import Rendezvous

@Suite("IP address")
struct IPAddressTests {
    @Test(
        "label and precedence are those of the default policy table (RFC 6724, section 2.1)",
        arguments: [
            ("::1", 50, 0), ("2001:db8::1", 40, 1), ("fe80::1%3", 40, 1), ("ff02::1", 40, 1), ("2600::", 40, 1),
            ("192.0.2.1", 35, 4), ("127.0.0.1", 35, 4), ("::ffff:c000:201", 35, 4),
            ("2002:c633:6401::1", 30, 2), ("2001::1", 5, 5), ("2001:0:ffff::1", 5, 5), ("2001:1::1", 40, 1),
            ("fc00::1", 3, 13), ("fdff::1", 3, 13), ("::c000:201", 1, 3), ("::", 1, 3),
            ("fec0::1", 1, 11), ("feff::1", 1, 11), ("3ffe::1", 1, 12),
        ] as [(IPAddress, Int, Int)])
    func policyTable(address: IPAddress, precedence: Int, label: Int) {
        #expect(address.precedence == precedence)
        #expect(address.label == label)
    }

    @Test(
        "scopes (RFC 6724, section 3)",
        arguments: [
            ("::1", .link), ("127.0.0.1", .link), ("127.255.1.2", .link), ("fe80::1", .link), ("febf::1", .link),
            ("169.254.1.2", .link), ("::ffff:a9fe:102", .link), ("ff02::1", .link), ("ff05::1", .site),
            ("fec0::1", .site), ("ff0e::1", .global), ("10.0.0.1", .global), ("192.168.1.1", .global),
            ("fd00::1", .global), ("2001:db8::1", .global), ("fe00::1", .global), ("169.253.1.1", .global),
        ] as [(IPAddress, IPAddress.Scope)])
    func scopes(address: IPAddress, scope: IPAddress.Scope) {
        #expect(address.scope == scope)
    }

    @Test(
        "addresses that mean something else on another network",
        arguments: [
            "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "100.64.0.0",
            "100.127.255.255",
            "169.254.7.7", "127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%2", "fc00::1", "fdff:ffff::1", "fec0::1",
            "::ffff:a00:1",
        ] as [IPAddress])
    func isPrivate(address: IPAddress) {
        #expect(address.isPrivate)
    }

    @Test(
        "their neighbours are public",
        arguments: [
            "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
            "100.63.255.255", "100.128.0.0", "169.255.0.0", "126.0.0.1", "128.0.0.1", "fbff::1", "fe00::1", "ff00::1",
            "2001:db8::1", "::2", "::ffff:808:808",
        ] as [IPAddress])
    func isPublic(address: IPAddress) {
        #expect(!address.isPrivate)
    }

    @Test("mapped addresses are the IPv4 addresses in them")
    func mapped() {
        #expect(("::ffff:c000:201" as IPAddress).unmapped == "192.0.2.1")
        #expect(("::fffe:c000:201" as IPAddress).unmapped.family == .v6)
        #expect(("192.0.2.1" as IPAddress).commonBits(with: "::ffff:c000:201") == 128)
        #expect(("2001:db8::1" as IPAddress).commonBits(with: "2001:db8:8000::1") == 32)
        #expect(("2001:db8::1" as IPAddress).commonBits(with: "2001:db8::3") == 126)
        #expect(("::ffff:0:0" as IPAddress).isUnspecified && ("::ffff:7f00:1" as IPAddress).isLoopback)
    }
}
