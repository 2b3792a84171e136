import Kernel
import Policy
import SessionProtocol
import Synchronization
import Testing

@testable import Agent
@testable import Engine

/// A name service in memory that counts its questions.
final class TestNames: Sendable {
    let forward: [String: [String]]
    let reverse: [String: String]
    private let asked = Mutex<[String]>([])

    init(forward: [String: [String]] = [:], reverse: [String: String] = [:]) {
        self.forward = forward
        self.reverse = reverse
    }

    var questions: [String] { asked.withLock { $0 } }

    var names: SystemNames {
        SystemNames(
            forward: { name in
                self.asked.withLock { $0.append(name) }
                return (self.forward[name] ?? []).compactMap(SocketAddress.Host.init(numeric:))
            },
            reverse: { host in
                self.asked.withLock { $0.append(host.description) }
                return self.reverse[host.description]
            })
    }
}

@Suite("Resolver")
struct ResolverTests {
    let loop: EventLoop

    init() throws { loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20)) }

    private func reverse(_ resolver: Resolver, _ text: String, _ mode: ReverseLookup) throws -> [String] {
        let host = try AddressReachTests.host(text)
        var answer: [SocketAddress.Host]?
        resolver.reverse(host, mode) { answer = $0 }
        try turn(loop) { answer != nil }
        return (answer ?? []).map(\.description)
    }

    private func forward(_ resolver: Resolver, _ name: String) throws -> [String] {
        var answer: [SocketAddress.Host]?
        resolver.forward(name) { answer = $0 }
        try turn(loop) { answer != nil }
        return (answer ?? []).map(\.description)
    }

    static let zones = TestNames(
        forward: [
            "db.example": ["192.0.2.1", "2001:db8::1"], "victim.example": ["198.51.100.1"], "10.0.0.1": ["10.0.0.1"],
        ],
        reverse: ["192.0.2.1": "DB.example.", "192.0.2.66": "victim.example", "192.0.2.67": "10.0.0.1"])

    @Test(
        "a reverse name leads on if it leads back, or if that is not asked for",
        arguments: [
            ("192.0.2.1", ReverseLookup.confirmed, ["2001:db8::1"]), ("192.0.2.1", .unconfirmed, ["2001:db8::1"]),
            ("192.0.2.1", .off, []), ("192.0.2.66", .confirmed, []), ("192.0.2.66", .unconfirmed, ["198.51.100.1"]),
            ("192.0.2.66", .off, []),
            // A name that is an address.
            ("192.0.2.67", .unconfirmed, []), ("192.0.2.99", .unconfirmed, []),
        ])
    func reverseNames(address: String, mode: ReverseLookup, expected: [String]) throws {
        let resolver = Resolver(Self.zones.names, on: loop)
        #expect(try reverse(resolver, address, mode) == expected)
    }

    @Test("what is off is not asked, and what is known not asked again; many may wait for one answer")
    func remembered() throws {
        let zones = TestNames(
            forward: ["db.example": ["192.0.2.1", "192.0.2.2"]], reverse: ["192.0.2.1": "db.example"])
        let resolver = Resolver(zones.names, on: loop)
        #expect(try reverse(resolver, "192.0.2.1", .off).isEmpty && zones.questions.isEmpty)
        var answers = 0
        for _ in 0..<5 { resolver.forward("DB.example.") { answers += $0.count } }
        try turn(loop) { answers == 10 }
        #expect(try forward(resolver, "db.example") == ["192.0.2.1", "192.0.2.2"])
        #expect(zones.questions == ["db.example"])
        for _ in 0..<3 {
            #expect(try reverse(resolver, "192.0.2.1", .confirmed) == ["192.0.2.2"])
            #expect(try reverse(resolver, "192.0.2.2", .confirmed).isEmpty)
        }
        #expect(zones.questions == ["db.example", "192.0.2.1", "db.example", "192.0.2.2"])
    }

    @Test("the system's own: hosts file and all")
    func system() throws {
        let resolver = Resolver(on: loop)
        #expect(try forward(resolver, "localhost").contains("127.0.0.1"))
        #expect(try forward(resolver, "192.0.2.1") == ["192.0.2.1"])
        #expect(try forward(resolver, "a name that nobody has").isEmpty)
        let name = SystemNames.system.reverse(try AddressReachTests.host("127.0.0.1"))
        #expect(name?.isEmpty == false)
    }
}
