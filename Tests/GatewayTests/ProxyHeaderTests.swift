import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Gateway

@Suite("PROXY header")
struct ProxyHeaderTests {
    private static let signature = "0d0a0d0a000d0a515549540a"

    @Test(
        "as the specification has it",
        arguments: [
            ("192.0.2.1:5", "198.51.100.2:443", "2111000c" + "c0000201" + "c6336402" + "0005" + "01bb"),
            (
                "[2001:db8::1]:65535", "[2001:db8::2]:22",
                "21210024" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "ffff" + "0016"
            ),
            // Different families: IPv4-mapped.
            (
                "[2001:db8::1]:1", "192.0.2.1:2",
                "21210024" + "20010db8000000000000000000000001" + "00000000000000000000ffffc0000201" + "0001" + "0002"
            ),
            (
                "192.0.2.1:1", "[2001:db8::2]:2",
                "21210024" + "00000000000000000000ffffc0000201" + "20010db8000000000000000000000002" + "0001" + "0002"
            ),
            // A mapped address is the IPv4 address.
            ("[::ffff:192.0.2.1]:5", "198.51.100.2:443", "2111000c" + "c0000201" + "c6336402" + "0005" + "01bb"),
        ])
    func table(source: String, destination: String, bytes: String) throws {
        let header = ProxyHeader.encode(source: try address(source), destination: try address(destination))
        let text = header.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(text == Self.signature + bytes)
    }

    @Test("the server hears it before anything else, and only if it was asked for", arguments: [true, false])
    func first(isWanted: Bool) throws {
        let gateway = try GatewayUnderTest(sendsProxyHeader: isWanted)
        let opener = try HandMadeOpener(gateway.address, from: "127.0.0.5")
        opener.say(try HandMadeSession(1, to: gateway.serverAddress).greeting)
        #expect(try opener.hear()?.header.type == .opened)
        opener.say(FrameHeader(type: .data, length: 3, offset: 0).encodedBytes + Array("abc".utf8))
        // The acknowledgement is of the session's bytes alone.
        var frame = try opener.hear()
        while let heard = frame, heard.header.acknowledged == 0 { frame = try opener.hear() }
        #expect(frame?.header.acknowledged == 3)
        var room = [UInt8](repeating: 0, count: 100)
        guard let server = try gateway.server.accept() else {
            Issue.record("nobody has connected")
            return
        }
        guard case .bytes(let count) = room.withUnsafeMutableBytes({ server.receive(into: $0) }) else {
            Issue.record("nothing has come")
            return
        }
        let expected =
            isWanted
            ? ProxyHeader.encode(
                source: try opener.localAddress(), destination: gateway.serverAddress)
            : []
        #expect(Array(room[..<count]) == expected + Array("abc".utf8))
    }

    private func address(_ text: String) throws -> SocketAddress {
        let place = try #require(HostPort(text))
        return SocketAddress(host: try #require(SocketAddress.Host(numeric: place.host)), port: place.port)
    }
}
