import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

private let loopback = SocketAddress(host: .v4(0x7f00_0001), port: 0)
private let address = SocketAddress.Host.v4(0x0a09_0901)
private let address6 = SocketAddress.Host.v6(high: 0xfd00_0009_0000_0000, low: 1, scope: 0)

@Suite("Sources of links")
struct LinkSourceTests {
    @Test(
        "an address or the name of an interface",
        arguments: [
            ("10.9.9.1", LinkSource.address(address)), ("fd00:9::1", .address(address6)),
            ("wlan0", .interface("wlan0")), ("a-name-of-15.xy", .interface("a-name-of-15.xy")),
            ("a-name-of-16.xyz", nil), ("", nil), ("..", nil), ("eth0/1", nil), ("eth 0", nil), ("host:80", nil),
        ])
    func reads(text: String, source: LinkSource?) {
        #expect(LinkSource(text) == source)
        if let source { #expect(source.description == text) }
    }

    @Test("usable with the address, or with any address of the interface")
    func followsTheNetwork() {
        var state = NetworkState()
        let (named, addressed) = (LinkSource.interface("eth0"), LinkSource.address(address))
        #expect(!named.exists(in: state) && !addressed.exists(in: state))
        #expect(LinkSource.anywhere.exists(in: state) && LinkSource.anywhere.isUsable(in: state))
        _ = state.apply(.interface(index: 2, name: "eth0", isUsable: true))
        #expect(named.exists(in: state) && !named.isUsable(in: state))
        _ = state.apply(.address(address, interface: 2, AddressTraits(isUsable: true, prefixLength: 24)))
        #expect(named.isUsable(in: state) && addressed.isUsable(in: state))
        _ = state.apply(.interface(index: 2, name: "eth0", isUsable: false))
        #expect(named.exists(in: state) && !named.isUsable(in: state) && !addressed.isUsable(in: state))
    }

    @Test("an address leads only to its own family")
    func families() {
        let (v4, v6) = (loopback, SocketAddress(host: address6, port: 1))
        #expect(LinkSource.address(address).suits(v4) && !LinkSource.address(address).suits(v6))
        #expect(LinkSource.interface("eth0").suits(v4) && LinkSource.interface("eth0").suits(v6))
    }

    @Test("a link from an interface stays on it")
    func bindsToAnInterface() throws {
        let listener = try TCPSocket.listen(on: loopback)
        let dialled = try TCPSocket.dial(listener.localAddress(), from: .interface("lo"), profile: .local)
        _ = try nextConnection(at: listener)
        try wait(dialled, for: POLLOUT)
        let isConnected = try dialled.finishConnect()
        var name = [UInt8](repeating: 0, count: Int(IFNAMSIZ))
        var length = socklen_t(name.count)
        getsockopt(dialled.number, SOL_SOCKET, SO_BINDTODEVICE, &name, &length)
        #expect(isConnected && name.prefix { $0 != 0 }.elementsEqual("lo".utf8))
        #expect(throws: Errno(rawValue: ENODEV)) {
            _ = try TCPSocket.dial(loopback, from: .interface("no-such-thing"), profile: .local)
        }
    }

    @Test(
        "multipath TCP is used where both ends want it",
        .enabled(if: LinkTransport.mptcp.isAvailable), arguments: LinkTransport.allCases, LinkTransport.allCases)
    func transports(wanted: LinkTransport, offered: LinkTransport) throws {
        let listener = try TCPSocket.listen(on: loopback, transport: offered)
        let dialled = try TCPSocket.dial(listener.localAddress(), transport: wanted, profile: .local)
        let accepted = try nextConnection(at: listener)
        try wait(dialled, for: POLLOUT)
        let isConnected = try dialled.finishConnect()
        #expect(isConnected)
        let ends = (try dialled.transport(), try accepted.transport())
        let expected: LinkTransport = wanted == .mptcp && offered == .mptcp ? .mptcp : .tcp
        #expect(ends == (expected, expected))
    }
}
