import Kernel
import Testing

@testable import Gateway

@Suite("Allow list")
struct AllowListTests {
    private static let own = SocketAddress.Host(numeric: "192.0.2.7")!

    /// What is allowed, what is asked for, and where the connection goes; nil where it is refused.
    @Test(
        "a destination is allowed, and connected to as the rule spells it",
        arguments: [
            ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1:80", "10.0.0.1:81", nil),
            ("10.0.0.1:80", "10.0.0.2:80", nil),
            ("10.0.0.1:80-90", "10.0.0.1:90", "10.0.0.1:90"),
            ("10.0.0.1:80-90", "10.0.0.1:91", nil),
            ("10.0.0.1:1-65535", "10.0.0.1:65535", "10.0.0.1:65535"),
            ("10.0.0.0/8:80", "10.255.0.1:80", "10.255.0.1:80"),
            ("10.1.2.3/8:80", "10.255.0.1:80", "10.255.0.1:80"),
            ("10.0.0.0/8:80", "11.0.0.1:80", nil),
            ("10.0.0.128/25:80", "10.0.0.127:80", nil),
            ("10.0.0.1/32:80", "10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1/32:80", "10.0.0.0:80", nil),
            ("0.0.0.0/0:80", "203.0.113.9:80", "203.0.113.9:80"),
            ("0.0.0.0/0:80", "[2001:db8::1]:80", nil),
            ("*:80", "203.0.113.9:80", "203.0.113.9:80"),
            ("*:80", "[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("*:80", "203.0.113.9:81", nil),
            ("[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[2001:db8::1]:80", "[2001:db8::2]:80", nil),
            ("[2001:db8::/32]:80", "[2001:db8:ffff::1]:80", "[2001:db8:ffff::1]:80"),
            ("[2001:db8::/64]:80", "[2001:db8:0:1::1]:80", nil),
            ("[2001:db8::8000/113]:80", "[2001:db8::ffff]:80", "[2001:db8::ffff]:80"),
            ("[2001:db8::8000/113]:80", "[2001:db8::7fff]:80", nil),
            ("[::/0]:80", "[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[::/0]:80", "10.0.0.1:80", nil),
            // An IPv4-mapped address is the IPv4 address, on either side.
            ("10.0.0.1:80", "[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80", "10.0.0.1:80"),
            // Loopback means this host, whichever of its addresses is asked for.
            ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "192.0.2.7:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "[::1]:80", "127.0.0.1:80"),
            ("[::1]:80", "192.0.2.7:80", "[::1]:80"),
            ("127.0.0.1:80", "192.0.2.8:80", nil),
            ("192.0.2.7:80", "127.0.0.1:80", nil),
        ] as [(String, String, String?)])
    func decisions(rule: String, asked: String, connected: String?) throws {
        let list = AllowList(try AllowedTarget.parse(rule))
        let found = list.address(for: try address(asked)) { [Self.own] }
        #expect(found == (try connected.map(address)))
    }

    @Test(
        "a refusal names what was refused, and the nearest rule",
        arguments: [
            ("10.0.0.1:90", "10.0.0.1:80-85"), ("10.0.0.1:10", "10.0.0.1:22"), ("192.0.2.1:5432", "10.0.0.0/8:5432"),
            ("192.0.2.1:9", "10.0.0.1:80-85"), ("127.0.0.1:23", "localhost:22"), ("[2001:db8::1]:22", "10.0.0.1:22"),
        ])
    func refusals(asked: String, nearest: String) throws {
        let rules = ["10.0.0.1:80-85", "10.0.0.1:22", "10.0.0.0/8:5432", "localhost:22"]
        let list = AllowList(try rules.flatMap { try AllowedTarget.parse($0) })
        #expect(
            list.refusal(of: try address(asked))
                == "the gateway does not allow \(asked); the nearest rule is --allow \(nearest)")
    }

    @Test("an empty list allows nothing")
    func empty() throws {
        #expect(
            AllowList([]).refusal(of: try address("10.0.0.1:80"))
                == "the gateway does not allow 10.0.0.1:80; it allows nothing")
        #expect(AllowList([]).isEmpty)
        #expect(AllowList([]).address(for: try address("127.0.0.1:80")) { [Self.own] } == nil)
    }

    @Test("the first rule that fits decides, and the host's addresses are fetched only where they count")
    func order() throws {
        let rules = try ["10.0.0.1:80", "localhost:80"].flatMap { try AllowedTarget.parse($0) }
        let list = AllowList(rules)
        var fetched = 0
        _ = list.address(for: try address("10.0.0.1:80")) {
            fetched += 1
            return []
        }
        _ = list.address(for: try address("127.0.0.1:80")) {
            fetched += 1
            return []
        }
        #expect(fetched == 0)
        #expect(list.address(for: try address("192.0.2.7:80")) { [Self.own] }?.isLoopback == true)
    }

    @Test(
        "what names no target is refused, and the line says which argument it was",
        arguments: [
            "", "80", ":", ":80", "host", "host:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:+80", "10.0.0.1:-80",
            "10.0.0.1:80-", "10.0.0.1:-", "10.0.0.1:90-80", "10.0.0.1:80-90-100", "10.0.0.1:8o", "10.0.0.0/33:80",
            "10.0.0.0/-1:80", "10.0.0.0/+8:80", "10.0.0.0/:80", "10.0.0/8:80", "/8:80", "[2001:db8::/129]:80",
            "2001:db8::1:80", "2001:db8::/32:80", "[]:80", "[::1]", "no such host:80",
        ])
    func errors(text: String) {
        let error = #expect(throws: AllowError.self) { try AllowedTarget.parse(text) }
        #expect(error?.description.hasPrefix("--allow \(text): ") == true)
    }

    @Test("this host's addresses have loopback among them")
    func hostAddresses() throws {
        #expect(AllowList.hostAddresses().contains(try address("127.0.0.1:0").host))
    }

    private func address(_ text: String) throws -> SocketAddress {
        let place = try #require(HostPort(text))
        return SocketAddress(host: try #require(SocketAddress.Host(numeric: place.host)), port: place.port)
    }
}
