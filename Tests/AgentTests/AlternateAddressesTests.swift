import Interception
import Kernel
import Policy
import Testing

@testable import Agent
@testable import Engine

@Suite("Alternate addresses")
struct AlternateAddressesTests {
    let loop: EventLoop
    let zones = TestNames(
        forward: [
            "db.example": ["192.0.2.1", "192.0.2.2", "192.168.1.1", "127.0.0.1", "224.0.0.1"],
            "inner.example": ["10.0.0.1", "192.168.1.2", "192.0.2.3", "127.0.0.1"],
        ],
        reverse: ["192.0.2.1": "db.example", "10.0.0.1": "inner.example", "127.0.0.1": "db.example"])

    init() throws { loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20)) }

    /// What is found, by stages; those before the first turn of the loop, and then the others.
    private func find(
        _ asked: String, extra: [String] = [], reverse: ReverseLookup = .confirmed, allowsPrivate: Bool = false,
        resolved: [(String, [String])] = []
    ) throws -> (atOnce: [[String]], later: [[String]]) {
        let alternates = AlternateAddresses(Resolver(zones.names, on: loop), on: loop)
        for (name, addresses) in resolved {
            alternates.note(ResolvedName(name: name, addresses: try NameTableTests.hosts(addresses)))
        }
        var stages: [[String]] = []
        var ends = 0
        alternates.find(
            for: SocketAddress(host: try AddressReachTests.host(asked), port: 80),
            extra: try NameTableTests.hosts(extra), reverse: reverse, allowsPrivate: allowsPrivate,
            found: { stages.append($0.map(\.description)) }, done: { ends += 1 })
        let atOnce = stages
        try turn(loop) { ends > 0 }
        #expect(ends == 1)
        return (atOnce, Array(stages.dropFirst(atOnce.count)))
    }

    @Test("policy's and the application's names are there at once, and nobody is asked")
    func known() throws {
        let found = try find(
            "192.0.2.1", extra: ["203.0.113.1", "192.0.2.1"],
            resolved: [("db", ["192.0.2.1", "203.0.113.1", "203.0.113.2"])])
        #expect(found.atOnce == [["203.0.113.1", "203.0.113.2"]] && found.later.isEmpty)
        #expect(zones.questions.isEmpty)
    }

    @Test("a name with this address alone says that there is no other")
    func onlyAddress() throws {
        let found = try find("192.0.2.1", resolved: [("db", ["192.0.2.1"])])
        #expect(found.atOnce.isEmpty && found.later.isEmpty && zones.questions.isEmpty)
    }

    @Test("without a name, the reverse name is asked for, behind what policy gives")
    func reverseName() throws {
        let found = try find("192.0.2.1", extra: ["192.0.2.2", "10.1.1.1"])
        #expect(found.atOnce == [["192.0.2.2", "10.1.1.1"]] && found.later.isEmpty)
        #expect(zones.questions == ["192.0.2.1", "db.example"])
        #expect(try find("192.0.2.1").later == [["192.0.2.2"]])
        #expect(try find("::ffff:192.0.2.1").later == [["192.0.2.2"]])
        #expect(try find("192.0.2.1", reverse: .off).later.isEmpty)
    }

    @Test("names lead to nothing nearer than what was asked for, unless that is configured")
    func privateAddresses() throws {
        #expect(try find("192.0.2.1", allowsPrivate: true).later == [["192.0.2.2", "192.168.1.1", "127.0.0.1"]])
        #expect(try find("10.0.0.1").later == [["192.168.1.2", "192.0.2.3"]])
        let resolved = [("db", ["192.0.2.1", "10.0.0.9", "192.0.2.9"])]
        #expect(try find("192.0.2.1", resolved: resolved).atOnce == [["192.0.2.9"]])
        #expect(try find("192.0.2.1", allowsPrivate: true, resolved: resolved).atOnce == [["10.0.0.9", "192.0.2.9"]])
    }

    @Test(
        "what is on this machine or link, or nobody's, has no reverse name that is asked for",
        arguments: ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.1"])
    func noReverseName(asked: String) throws {
        let found = try find(asked, reverse: .unconfirmed, allowsPrivate: true)
        #expect(found.atOnce.isEmpty && found.later.isEmpty && zones.questions.isEmpty)
    }
}
