import Kernel
import Testing

/// Datagrams that Linux 6.18 has sent; those of interfaces are cut behind the name.
private enum Recorded {
    static let interfaceUp = "28000000100000000000000000000000000001000300000043100100000000000700030076610000"
    static let interfaceDown = "28000000100000000000000000000000000001000300000002100000ffffffff0700030076610000"
    static let interfaceGone = "28000000110000000000000000000000000001000300000002100000ffffffff0700030076610000"
    static let leftBridge = """
        5400000011000000000000000000000007000100030000000310000000000000070003007661000008000a000400000008000400dc050000050\
        01000030000000a000100268cb2705ed800000800050002000000
        """
    static let address = """
        4c000000140000001c71016bac4f00000218800001000000080001000a090901080002000a090901070003006c6f00000800080080000000140\
        00600ffffffffffffffff2cf811002cf81100
        """
    static let addressGone = """
        4c000000150000001d71016bad4f00000218800001000000080001000a090901080002000a090901070003006c6f00000800080080000000140\
        00600ffffffffffffffff2cf811002cf81100
        """
    static let tentative = """
        480000001400000000000000000000000a40c0000100000014000100fd00000900000000000000000000000114000600ffffffffffffffff4af\
        811004af8110008000800c0000000
        """
    static let confirmed = """
        480000001400000000000000000000000a4080000100000014000100fd00000900000000000000000000000114000600ffffffffffffffff4af\
        811004af811000800080080000000
        """
    static let linkLocal = """
        500000001400000000000000000000000a4080fd0200000014000100fe800000000000004cc2ddfffe9d05d014000600ffffffffffffffffc4f\
        81100c4f81100080008008000000005000b0003000000
        """
    static let route =
        "3c000000180000061d71016bb04f000002100000fe0300010000000008000f00fe000000080001000a0a0000080005000a0909020800040001000000"
    static let rule = """
        44000000200000001d71016bb24f000002002000640000010000000008000f006400000008000e00ffffffff050015000000000008000600fd7\
        f0000080002000a090901
        """
    static let localRoute =
        "3c00000018000006000000000000000002200000ff02fe020000000008000f00ff000000080001000a090901080007000a0909010800040001000000"

    static let all = [
        interfaceUp, interfaceDown, interfaceGone, leftBridge, address, addressGone, tentative, confirmed, linkLocal,
        route, rule, localRoute,
    ]
}

private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

private func messages(_ datagram: [UInt8]) -> [RouteMessage] {
    var messages: [RouteMessage] = []
    datagram.withUnsafeBytes { RouteMessage.each(of: $0.bytes) { messages.append($0) } }
    return messages
}

private let host = SocketAddress.Host.v4(0x0a09_0901)
private let host6 = SocketAddress.Host.v6(high: 0xfd00_0009_0000_0000, low: 1, scope: 0)

@Suite("What rtnetlink tells")
struct RouteMessageTests {
    @Test("each kind of message is understood, and noise is none")
    func readsRecordedMessages() {
        let expected: [(String, [RouteMessage])] = [
            (Recorded.interfaceUp, [.interface(index: 3, name: "va", isUsable: true)]),
            (Recorded.interfaceDown, [.interface(index: 3, name: "va", isUsable: false)]),
            (Recorded.interfaceGone, [.interfaceGone(index: 3)]),
            (Recorded.leftBridge, []),
            (Recorded.address, [.address(host, interface: 1, AddressTraits(isUsable: true, prefixLength: 24))]),
            (Recorded.addressGone, [.addressGone(host, interface: 1)]),
            (Recorded.tentative, [.address(host6, interface: 1, AddressTraits(isUsable: false, prefixLength: 64))]),
            (Recorded.confirmed, [.address(host6, interface: 1, AddressTraits(isUsable: true, prefixLength: 64))]),
            (
                Recorded.linkLocal,
                [
                    .address(
                        .v6(high: 0xfe80 << 48, low: 0x4cc2_ddff_fe9d_05d0, scope: 2), interface: 2,
                        AddressTraits(isUsable: true, prefixLength: 64))
                ]
            ),
            (Recorded.route, [.routes]), (Recorded.rule, [.routes]), (Recorded.localRoute, []),
        ]
        for (datagram, wanted) in expected { #expect(messages(bytes(datagram)) == wanted) }
    }

    @Test("several messages in one datagram come one after the other")
    func readsSeveral() {
        let datagram = bytes(Recorded.interfaceUp) + bytes(Recorded.leftBridge) + bytes(Recorded.route)
        #expect(messages(datagram) == [.interface(index: 3, name: "va", isUsable: true), .routes])
    }

    @Test("no length in a message leads outside of it", arguments: Recorded.all.indices)
    func staysInBounds(index: Int) {
        let datagram = bytes(Recorded.all[index])
        for end in 0..<datagram.count { _ = messages(Array(datagram[..<end])) }
        // Every 16-bit field at every place is once 0, once small, once huge.
        for offset in 0..<datagram.count - 1 {
            for value in [0, 3, 0xff] as [UInt8] {
                var damaged = datagram
                damaged[offset] = value
                damaged[offset + 1] = value == 3 ? 0 : value
                _ = messages(damaged)
            }
        }
    }
}

@Suite("The state of the network")
struct NetworkStateTests {
    @Test("an address counts when it is usable and its interface is")
    func followsMessages() {
        var state = NetworkState()
        func apply(_ message: RouteMessage) -> Bool { state.apply(message) }
        #expect(!apply(.interface(index: 2, name: "eth0", isUsable: false)))
        let hasChanged = apply(.address(host, interface: 2, AddressTraits(isUsable: true, prefixLength: 24)))
        #expect(hasChanged && state.has(host) && !state.isUsable(host))
        #expect(state.usableAddresses(ofInterface: "eth0").isEmpty)
        let isUp = apply(.interface(index: 2, name: "eth0", isUsable: true))
        #expect(isUp && state.isUsable(host))
        #expect(state.usableAddresses(ofInterface: "eth0") == [host])
        let isTentative = apply(.address(host6, interface: 2, AddressTraits(isUsable: false, prefixLength: 64)))
        #expect(!isTentative && state.has(host6) && !state.isUsable(host6))
        let isConfirmed = apply(.address(host6, interface: 2, AddressTraits(isUsable: true, prefixLength: 64)))
        #expect(isConfirmed && state.usableAddresses(ofInterface: "eth0") == [host, host6])
        let isGone = apply(.addressGone(host, interface: 2))
        #expect(isGone && !state.has(host))
        let isUnplugged = apply(.interfaceGone(index: 2))
        #expect(isUnplugged && !state.isUsable(host6) && state.interfaceNames.isEmpty)
    }

    @Test("repetitions, interfaces without addresses, and link-local addresses concern no link")
    func filtersNoise() {
        var state = NetworkState()
        func apply(_ message: RouteMessage) -> Bool { state.apply(message) }
        let linkLocal = SocketAddress.Host.v6(high: 0xfe80 << 48, low: 1, scope: 3)
        let noise: [RouteMessage] = [
            .interface(index: 3, name: "veth7", isUsable: false), .interface(index: 3, name: "veth7", isUsable: true),
            .address(linkLocal, interface: 3, AddressTraits(isUsable: true, prefixLength: 64)),
            .addressGone(linkLocal, interface: 3),
            .interfaceGone(index: 3), .addressGone(host, interface: 9), .done, .failed(1),
        ]
        for message in noise { #expect(!apply(message)) }
        _ = apply(.interface(index: 2, name: "eth0", isUsable: true))
        _ = apply(.address(host, interface: 2, AddressTraits(isUsable: true, prefixLength: 24)))
        let once = state
        #expect(!apply(.address(host, interface: 2, AddressTraits(isUsable: true, prefixLength: 24))))
        #expect(!apply(.interface(index: 2, name: "eth0", isUsable: true)))
        #expect(state == once)
        #expect(apply(.routes))
    }
}
