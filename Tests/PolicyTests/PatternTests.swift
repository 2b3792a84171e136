import Testing

@testable import Policy

@Suite("Patterns")
struct PatternTests {
    @Test(
        "globs",
        arguments: [
            ("psql", "psql", true), ("psql", "Psql", false), ("psql", "psql2", false), ("", "", true),
            ("pg_*", "pg_dump", true), ("pg_*", "pg_", true), ("*sql", "psql", true), ("*", "", true),
            ("*a*b*c", "xaybzc", true), ("*a*b*c", "xaybz", false), ("p?ql", "psql", true), ("p?ql", "pql", false),
            ("[a-c]x", "bx", true), ("[a-c]x", "dx", false), ("[!a-c]x", "dx", true), ("[^a-c]x", "ax", false),
            ("[]]", "]", true), ("[a-]", "-", true), ("[*]", "*", true), ("[*]", "a", false), ("é?", "éü", true),
            ("/usr/*/psql", "/usr/bin/psql", true), ("/usr/*/psql", "/usr/local/bin/psql", false),
            ("/usr/**/psql", "/usr/local/bin/psql", true), ("/usr/bi?/x", "/usr/bi//x", false),
            ("/a[!b]c", "/a/c", false), ("/usr/**", "/usr/bin/psql", true),
        ])
    func globs(pattern: String, text: String, matches: Bool) throws {
        let glob = try #require(Glob(pattern, separator: "/"))
        #expect(glob.matches(text) == matches)
    }

    @Test("what is no glob", arguments: ["[", "[a", "[!]", "[b-a]", "x[]"])
    func noGlobs(text: String) { #expect(Glob(text) == nil) }

    @Test("a glob takes no more time than its length times the text's")
    func hardGlobs() throws {
        let glob = try #require(Glob(String(repeating: "*a", count: 200)))
        #expect(!glob.matches(String(repeating: "a", count: 2000) + "b"))
    }

    @Test(
        "addresses are read and written",
        arguments: [
            ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("192.0.2.1", "192.0.2.1"), ("::", "::"),
            ("::1", "::1"), ("1::", "1::"), ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
            ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"), ("::ffff:192.0.2.1", "192.0.2.1"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ])
    func addresses(text: String, canonical: String) throws {
        #expect(RuleAddress(text)?.description == canonical)
        #expect(RuleAddress(canonical) == RuleAddress(text))
    }

    @Test(
        "what is no address",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "+1.2.3.4", ":", ":::", "1::2::3",
            "12345::",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "g::", "::1%lo", "1.2.3.4::", "::1.2.3", "1:",
            ":1", "localhost",
        ])
    func noAddresses(text: String) { #expect(RuleAddress(text) == nil) }

    @Test("addresses from bytes")
    func bytes() {
        #expect(RuleAddress(bytes: [192, 0, 2, 1]) == RuleAddress("192.0.2.1"))
        #expect(
            RuleAddress(bytes: [0x20, 1, 0xd, 0xb8] + Array(repeating: 0, count: 11) + [1])
                == RuleAddress("2001:db8::1"))
        #expect(
            RuleAddress(bytes: Array(repeating: 0, count: 10) + [0xff, 0xff, 10, 0, 0, 1]) == RuleAddress("10.0.0.1"))
        #expect(RuleAddress(bytes: [1, 2, 3]) == nil)
    }

    @Test(
        "networks",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "255.0.0.1", true),
            ("0.0.0.0/0", "::1", false), ("10.0.0.1", "10.0.0.1", true), ("10.0.0.1/32", "10.0.0.2", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::8000:0:0:0/65", "2001:db8::8000:0:0:1", true),
            ("2001:db8::8000:0:0:0/65", "2001:db8::1", false), ("::/0", "::1", true),
        ])
    func networks(text: String, address: String, contains: Bool) throws {
        let network = try #require(NetworkReader.read(.string(text)))
        #expect(network.contains(try #require(RuleAddress(address))) == contains)
    }

    @Test("names of hosts")
    func names() throws {
        let pattern = try #require(HostNamePattern("*.Example.com"))
        #expect(pattern.matches("a.b.example.COM.") && !pattern.matches("example.com") && pattern.literal == nil)
        #expect(HostNamePattern("db1")?.literal == "db1")
        for text in ["", "10.*", "*", "10.0.0.256", "a b", "a:1", "http://x", "[a"] {
            #expect(HostNamePattern(text) == nil, "\(text)")
        }
    }

    @Test("ports")
    func ports() {
        #expect(PortRange.parse("5432") == 5432...5432 && PortRange.parse("8000-8100") == 8000...8100)
        for text in ["", "0", "65536", "80-", "-80", "90-80", "80-90-100", "http", "+80", "0-80"] {
            #expect(PortRange.parse(text) == nil, "\(text)")
        }
    }

    @Test("gateways")
    func gateways() {
        for text in ["gw", "gw:7118", "192.0.2.1", "192.0.2.1:7118", "[2001:db8::1]", "[2001:db8::1]:7118"] {
            #expect(GatewayName(text)?.description == text)
        }
        for text in [
            "", ":1", "gw:", "gw:0", "gw:70000", "gw:1-2", "2001:db8::1", "[gw]", "[::1", "[::1]7117", "a b", "1.2",
        ] {
            #expect(GatewayName(text) == nil, "\(text)")
        }
    }
}
