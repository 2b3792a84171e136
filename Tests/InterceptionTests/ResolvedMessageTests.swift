import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Interception

@Suite struct ResolvedMessageTests {
    static let addresses: [ResolvedAddress] = [
        .v4(0xc000_0201), .v6(high: 0x2001_0db8_0000_0000, low: 7, scope: 0),
        .v6(high: 0xfe80 << 48, low: 1, scope: 0x0102),
    ]

    static func message(_ name: String, _ addresses: [ResolvedAddress]) -> ResolvedMessage? {
        let bytes = Array(name.utf8)
        var message = ResolvedMessage(nameCount: bytes.count) { bytes[$0] }
        for address in addresses { message?.append(address) }
        return message
    }

    static func encoded(_ message: ResolvedMessage?) throws -> [UInt8] {
        let message = try #require(message)
        return (0..<message.count).map { message[$0] }
    }

    static func read(_ bytes: [UInt8]) -> ResolvedMessage? { ResolvedMessage(bytes.span) }

    /// Byte for byte, as a library of another build writes it.
    @Test func theFormIsFixed() throws {
        let message = try #require(Self.message("db1", Self.addresses))
        let expected: [UInt8] =
            [3, 0x64, 0x62, 0x31, 4, 192, 0, 2, 1, 6, 0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11)
            + [7, 0, 0, 0, 0, 6, 0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1, 2, 1, 0, 0]
        #expect(try Self.encoded(message) == expected)
    }

    @Test func itSurvivesTheWire() throws {
        let bytes = try Self.encoded(Self.message("db1", Self.addresses))
        let message = try #require(Self.read(bytes))
        var found: [ResolvedAddress] = []
        message.forEachAddress { found.append($0) }
        #expect(found == Self.addresses)
        let resolved = try #require(ResolvedName(message))
        #expect(resolved.name == "db1")
        #expect(resolved.addresses.map(\.description) == ["192.0.2.1", "2001:db8::7", "fe80::1%258"])
    }

    @Test func aNameCannotBeEmptyOrTooLong() throws {
        #expect(Self.message("", []) == nil)
        #expect(Self.message(String(repeating: "x", count: 256), []) == nil)
        #expect(Self.read([0, 4, 1, 2, 3, 4]) == nil)
        #expect(Self.read([]) == nil)
        let longest = try Self.encoded(Self.message(String(repeating: "x", count: 255), []))
        #expect(Self.read(longest)?.count == 256)
    }

    @Test func asManyAddressesAsThereIsRoomFor() throws {
        let many = (0..<100).map { ResolvedAddress.v6(high: 1, low: UInt64($0), scope: 0) }
        let message = try #require(Self.message(String(repeating: "x", count: 255), many))
        #expect(message.addressCount == 64 && message.count == ResolvedMessage.capacity)
        let bytes = try Self.encoded(message)
        #expect(Self.read(bytes)?.addressCount == 64)
        var excess = try Self.encoded(Self.message("x", Array(many.prefix(64))))
        excess += [4, 1, 2, 3, 4]
        #expect(Self.read(excess) == nil)
    }

    @Test func cutAnywhereButBehindAnAddressItIsNone() throws {
        let bytes = try Self.encoded(Self.message("db1", Self.addresses))
        let whole = [4, 9, 30, 51]
        for length in 0...bytes.count {
            #expect((Self.read(Array(bytes[..<length])) != nil) == whole.contains(length), "\(length)")
        }
        #expect(Self.read(bytes + [5, 0, 0, 0, 0]) == nil)
    }

    /// Names are shown to people, and compared.
    @Test func namesHaveOneSpelling() throws {
        #expect(ResolvedName.canonical("DB1.Example.") == "db1.example")
        for name in ["", ".", "a b", "a\u{1b}[2J", "a\u{7f}", "a\u{9b}", "a\nb"] {
            #expect(ResolvedName.canonical(name) == nil, "\(name.debugDescription)")
        }
        let bytes: [UInt8] = [0x61, 0x1b]
        let message = try #require(ResolvedMessage(nameCount: 2) { bytes[$0] })
        #expect(ResolvedName(message) == nil)
    }

    @Test func mappedAddressesAreIPv4AndEachIsThereOnce() throws {
        let mapped = ResolvedAddress.v6(high: 0, low: 0xffff_c000_0201, scope: 0)
        let message = try #require(Self.message("db1", [.v4(0xc000_0201), mapped]))
        #expect(ResolvedName(message)?.addresses == [.v4(0xc000_0201)])
    }

    // MARK: - On the control socket

    /// What an agent makes of a `resolved` request with these bytes behind it.
    private func received(_ payload: [UInt8], saying count: Int) throws -> ResolvedName? {
        let temporary = try TemporaryDirectory()
        let listener = try ControlListener(path: temporary.path + "/agent.sock")
        let client = try ControlConnection(path: temporary.path + "/agent.sock")
        let header = ControlRequest.resolved(byteCount: count).encoded()
        try DescriptorPassing.send(header.indices.map { header[$0] } + payload, over: client.descriptor.number)
        let server = try unwrap(listener.accept())
        guard case .request(.resolved(let byteCount), nil) = try server.receive() else { return nil }
        return try? server.receiveResolved(byteCount: byteCount)
    }

    @Test func itArrivesBehindItsRequest() throws {
        let bytes = try Self.encoded(Self.message("db1", Self.addresses))
        #expect(try received(bytes, saying: bytes.count)?.name == "db1")
        // What comes later is not waited for, and nothing else is made of it.
        #expect(try received(Array(bytes.dropLast()), saying: bytes.count) == nil)
        #expect(try received([], saying: bytes.count) == nil)
    }

    @Test(arguments: [Int32.min, -1, 0, 1601, Int32.max])
    func noOtherLengthIsBelieved(count: Int32) throws {
        #expect(try received([1, 0x61], saying: Int(count)) == nil)
        #expect(ControlRequest(ControlRequest.resolved(byteCount: Int(count)).encoded().span) == nil)
    }
}
