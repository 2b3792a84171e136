import CLinux
import Kernel
import Testing

@Suite("Addresses")
struct AddressTests {
    @Test("HOST:PORT is read as people write it")
    func hostPort() {
        #expect(HostPort("db1:5432") == HostPort(host: "db1", port: 5432))
        #expect(HostPort("[2001:db8::1]:80") == HostPort(host: "2001:db8::1", port: 80))
        #expect(HostPort("db1", defaultPort: 7117) == HostPort(host: "db1", port: 7117))
        #expect(HostPort("[::1]", defaultPort: 7117) == HostPort(host: "::1", port: 7117))
        for text in [
            "", "db1", ":80", "db1:", "db1:x", "db1:65536", "db1:-1", "::1:80", "[::1:80", "[::1]80", "[]:80", "a:+1",
        ] {
            #expect(HostPort(text) == nil, "\(text)")
        }
        #expect(HostPort(host: "::1", port: 80).description == "[::1]:80")
    }

    @Test(
        "numeric addresses survive text and the kernel's form",
        arguments: [
            ("192.0.2.1", "192.0.2.1:80"), ("::1", "[::1]:80"), ("2001:db8::ff", "[2001:db8::ff]:80"),
            ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80"),
        ])
    func numeric(text: String, description: String) throws {
        let address = SocketAddress(host: try #require(SocketAddress.Host(numeric: text)), port: 80)
        #expect(address.description == description)
        #expect(address.withSockaddr { SocketAddress($0, length: $1) } == address)
        #expect(address.withSockaddr { SocketAddress($0, length: $1 - 1) } == nil)
    }

    @Test(
        "kinds of addresses",
        arguments: [
            ("127.0.0.2", true, false), ("::1", true, false), ("::ffff:127.0.0.1", true, false),
            ("169.254.1.1", false, true), ("fe80::1", false, true), ("10.0.0.1", false, false), ("::2", false, false),
        ])
    func kinds(text: String, isLoopback: Bool, isLinkLocal: Bool) throws {
        let address = SocketAddress(host: try #require(SocketAddress.Host(numeric: text)), port: 0)
        #expect(address.isLoopback == isLoopback && address.isLinkLocal == isLinkLocal)
    }

    @Test("names are told from addresses, and a name that is none is an error")
    func names() {
        #expect(SocketAddress.Host(numeric: "localhost") == nil)
        #expect(throws: ResolutionError.self) { _ = try HostPort(host: "no such host", port: 1).resolve() }
    }
}
