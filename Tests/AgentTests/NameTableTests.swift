import Interception
import Kernel
import SessionProtocol
import Testing

@testable import Agent

@Suite("Name table")
struct NameTableTests {
    static let start = Instant(nanoseconds: 1)
    static let later = start + NameTable.lifetime

    static func hosts(_ texts: [String]) throws -> [SocketAddress.Host] {
        try texts.map { try #require(SocketAddress.Host(numeric: $0)) }
    }

    /// What a table knows that was told all this, in its order.
    static func table(_ answers: [(String, [String])], at now: Instant = start) throws -> NameTable {
        var table = NameTable()
        for (name, addresses) in answers {
            table.note(ResolvedName(name: name, addresses: try hosts(addresses)), now: now)
        }
        return table
    }

    private func alternates(_ table: NameTable, _ text: String, at now: Instant = start) throws -> [String] {
        table.addresses(sharingNameWith: try Self.hosts([text])[0], now: now).map(\.description)
    }

    private func names(_ table: NameTable, _ text: String, at now: Instant = start) throws -> [String] {
        table.names(of: try Self.hosts([text])[0], now: now)
    }

    @Test("the other addresses of the name, in the resolver's order")
    func others() throws {
        let table = try Self.table([("db", ["2001:db8::1", "192.0.2.1", "192.0.2.2"]), ("web", ["192.0.2.9"])])
        #expect(try alternates(table, "192.0.2.1") == ["2001:db8::1", "192.0.2.2"])
        #expect(try alternates(table, "192.0.2.9").isEmpty)
        #expect(try alternates(table, "192.0.2.7").isEmpty)
        #expect(try names(table, "192.0.2.2") == ["db"] && names(table, "192.0.2.7").isEmpty)
    }

    @Test("of several names, only what all have: which one the program means is not known")
    func shared() throws {
        let table = try Self.table([
            ("a", ["192.0.2.1", "192.0.2.2", "192.0.2.3"]), ("b", ["192.0.2.1", "192.0.2.3", "192.0.2.4"]),
        ])
        #expect(try names(table, "192.0.2.1") == ["b", "a"])
        #expect(try alternates(table, "192.0.2.1") == ["192.0.2.3"])
        #expect(try alternates(table, "192.0.2.2") == ["192.0.2.1", "192.0.2.3"])
    }

    @Test("a later answer takes the place of an earlier one, but for families that it says nothing of")
    func laterAnswers() throws {
        let table = try Self.table([
            ("db", ["192.0.2.1", "192.0.2.2"]), ("db", ["2001:db8::1"]), ("db", ["192.0.2.2", "192.0.2.3"]),
        ])
        #expect(try alternates(table, "2001:db8::1") == ["192.0.2.2", "192.0.2.3"])
        #expect(try names(table, "192.0.2.1").isEmpty && alternates(table, "192.0.2.1").isEmpty)
    }

    @Test("after an hour an address is forgotten, whatever else was told of its name")
    func old() throws {
        var table = try Self.table([("db", ["192.0.2.1", "192.0.2.2"])])
        let last = Instant(nanoseconds: Self.later.nanoseconds - 1)
        #expect(try alternates(table, "192.0.2.1", at: last) == ["192.0.2.2"])
        table.note(ResolvedName(name: "db", addresses: try Self.hosts(["2001:db8::1"])), now: last)
        #expect(try alternates(table, "192.0.2.1", at: last) == ["2001:db8::1", "192.0.2.2"])
        #expect(try alternates(table, "2001:db8::1", at: Self.later).isEmpty)
        #expect(try names(table, "192.0.2.1", at: Self.later).isEmpty)
        #expect(try names(table, "2001:db8::1", at: Self.later) == ["db"])
    }

    @Test("what is too much makes it forget the oldest names")
    func bounds() throws {
        var table = NameTable()
        func host(_ number: Int) -> SocketAddress.Host { .v4(0x0b00_0000 + UInt32(number)) }
        for number in 0..<2 * NameTable.maximumNames {
            table.note(ResolvedName(name: "n\(number)", addresses: [host(number)]), now: Self.start)
        }
        let kept = (0..<2 * NameTable.maximumNames).filter { !table.names(of: host($0), now: Self.start).isEmpty }
        #expect(kept == Array(NameTable.maximumNames..<2 * NameTable.maximumNames))

        for number in 0..<200 {
            let addresses = (0..<64).map { host(100_000 + 64 * number + $0) }
            table.note(ResolvedName(name: "m\(number)", addresses: addresses), now: Self.start)
        }
        let names = (0..<200).filter { !table.names(of: host(100_000 + 64 * $0), now: Self.start).isEmpty }
        #expect(names == Array((200 - NameTable.maximumAddresses / 64)..<200))
        #expect(table.names(of: host(2 * NameTable.maximumNames - 1), now: Self.start).isEmpty)
    }

    @Test("an answer without addresses changes nothing")
    func empty() throws {
        let table = try Self.table([("db", ["192.0.2.1", "192.0.2.2"]), ("db", [])])
        #expect(try alternates(table, "192.0.2.1") == ["192.0.2.2"])
    }
}
