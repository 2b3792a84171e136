import Kernel
import SessionProtocol
import Testing
import Transport

@testable import Engine

private func address(_ low: UInt32) -> SocketAddress { SocketAddress(host: .v4(0x0a00_0000 + low), port: 7117) }
private let address6 = SocketAddress(host: .v6(high: 0xfd00 << 48, low: 1, scope: 0), port: 7117)

@Suite("Paths of an opener")
struct LinkPathsTests {
    @Test("gateways are tried in turn, on each path for itself, and one that has answered first")
    func turns() {
        var paths = LinkPaths(to: [address(1), address(2), address(3)], from: [.interface("a"), .interface("b")])
        let (a, b) = (PathID(0), PathID(1))
        let tried = (0..<4).map { _ in paths.nextGateway(on: a) }
        #expect(tried == [address(1), address(2), address(3), address(1)])
        #expect(paths.nextGateway(on: b) == address(1))
        paths.connected(to: address(3), on: a)
        #expect(paths.nextGateway(on: a) == address(3))
        #expect(paths.nextGateway(on: b) == address(2))
    }

    @Test("a source leads only to gateways of its family")
    func families() {
        var paths = LinkPaths(
            to: [address6, address(1)],
            from: [.address(address(9).host), .address(.v6(high: 0xfd00 << 48, low: 9, scope: 0)), .anywhere])
        for _ in 0..<3 {
            #expect(paths.nextGateway(on: PathID(0)) == address(1))
            #expect(paths.nextGateway(on: PathID(1)) == address6)
        }
        #expect(paths.nextGateway(on: PathID(2)) == address6)
        var lost = LinkPaths(to: [address6], from: [.address(address(9).host)])
        #expect(lost.nextGateway(on: PathID(0)) == nil)
    }

    @Test("a path is there while its source is usable, and always when nothing is known")
    func usable() {
        let paths = LinkPaths(to: [address(1)], from: [.interface("wlan0"), .anywhere, .address(address(9).host)])
        #expect(paths.usable(in: nil) == [PathID(0), PathID(1), PathID(2)])
        var network = NetworkState()
        #expect(paths.usable(in: network) == [PathID(1)])
        _ = network.apply(.interface(index: 3, name: "wlan0", isUsable: true))
        _ = network.apply(.address(address(9).host, interface: 3, AddressTraits(isUsable: true, prefixLength: 24)))
        #expect(paths.usable(in: network) == [PathID(0), PathID(1), PathID(2)])
    }
}
