import CLinux
import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Agent
@testable import Policy

@Suite("Rule book")
struct RuleBookTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20)) }

    /// - Parameter names: what the system's resolver knows.
    private func ruleBook(
        _ text: String, names: [String: String] = [:], _ configure: (inout AgentOptions) -> Void = { _ in }
    ) throws -> RuleBook {
        var options = AgentOptions(state: StateDirectory(path: "/nonexistent"))
        try options.configuration.apply(Array(text.utf8), file: "f")
        configure(&options)
        let system = SystemNames(
            forward: { names[$0].flatMap { SocketAddress.Host(numeric: $0) }.map { [$0] } ?? [] }, reverse: { _ in nil }
        )
        let resolver = Resolver(system, on: loop)
        return RuleBook(options, AlternateAddresses(resolver, on: loop), resolver)
    }

    private func verdict(
        _ book: RuleBook, _ program: String = "/usr/bin/psql", to host: String = "10.1.2.3", _ port: UInt16 = 5432
    ) throws -> Verdict {
        let destination = SocketAddress(host: try #require(SocketAddress.Host(numeric: host)), port: port)
        var verdict: Verdict?
        book.verdict(on: destination, Applicant(program: program, user: geteuid())) { verdict = $0 }
        try turn(loop) { verdict != nil }
        return try #require(verdict)
    }

    @Test("names of rules are resolved where the program has resolved none")
    func names() throws {
        let book = try ruleBook(
            "[[rule]]\ndestination = [\"db1\", \"db2\"]\nport = 5432\ntreatment = \"refuse\"",
            names: ["db1": "10.9.9.9", "db2": "10.1.2.3"])
        #expect(try verdict(book).treatment == .refuse)
        #expect(try verdict(book, to: "10.1.2.4").treatment == .session)
        #expect(try verdict(book, to: "::ffff:10.1.2.3").treatment == .refuse)
    }

    @Test("the user and where a connection begins count")
    func users() throws {
        let me = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? ""
        let mine = try ruleBook("[[rule]]\nuser = \"\(me)\"\nlocal = \"127.0.0.0/8\"\ntreatment = \"direct\"")
        #expect(try verdict(mine, to: "127.0.0.1").treatment == .direct)
        let others = try ruleBook("[[rule]]\nuser = \"nobody-at-all\"\ntreatment = \"direct\"")
        #expect(try verdict(others).treatment == .session)
    }

    @Test("the command line overrides what a rule gives, but not its refusal")
    func overriding() throws {
        let text = """
            [[rule]]
            port = 22
            treatment = "refuse"
            [[rule]]
            gateway = "gw"
            links = "mirror"
            sources = "192.0.2.1"
            suspend = "1h"
            pin = "SHA256:\(String(repeating: "A", count: 43))"
            """
        let plain = try ruleBook(text)
        let rule = try verdict(plain)
        let there = [SocketAddress(host: .v4(1), port: 2)]
        let ruled = plain.route(to: there, named: rule.gateway?.hostPort, rule)
        #expect(ruled.name == HostPort(host: "gw", port: 7117) && ruled.mode == .mirror && ruled.pin != nil)
        #expect(ruled.sources == [LinkSource("192.0.2.1")] && ruled.suspendLimit == .seconds(3600))
        let book = try ruleBook(text) {
            $0.treatment = .direct
            $0.mode = .stripe
            $0.sources = [.interface("eth9")]
            $0.suspend = .seconds(5)
        }
        #expect(try verdict(book, to: "10.1.2.3", 22).treatment == .refuse)
        let overridden = try verdict(book)
        #expect(overridden.treatment == .direct)
        let route = book.route(to: there, named: nil, overridden)
        #expect(route.mode == .stripe && route.sources == [.interface("eth9")] && route.suspendLimit == .seconds(5))
        #expect(route.pin == ruled.pin)
    }

    @Test("a gateway's last addresses count while nobody can resolve its name")
    func gateways() throws {
        let book = try ruleBook("", names: ["gw": "192.0.2.7"])
        func addresses(_ text: String) throws -> [SocketAddress] {
            var found: [SocketAddress]?
            book.addresses(of: try #require(GatewayName(text)).hostPort) { found = $0 }
            try turn(loop) { found != nil }
            return try #require(found)
        }
        #expect(try addresses("gw").map(\.description) == ["192.0.2.7:7117"])
        #expect(try addresses("[::1]:5").map(\.description) == ["[::1]:5"])
        #expect(try addresses("other") == [])
    }

    @Test("the next agent knows a rule again by what it says about links, wherever it stands")
    func marks() throws {
        func rule(_ lines: String) -> String { "[[rule]]\n\(lines)\n" }
        let named = rule("program = \"psql\"\ngateway = \"gw\"\nlinks = \"mirror\"")
        let first = try ruleBook(named)
        let mark = try verdict(first).mark
        #expect(mark != 0 && Verdict.namesGateway(mark: mark))
        func identity(_ mark: UInt32) -> LedgerIdentity {
            LedgerIdentity(
                session: Array(repeating: 1, count: 16), role: .agent, peer: SocketAddress(host: .v4(7), port: 7117),
                destination: SocketAddress(host: .v4(8), port: 80), openedAt: 0, leg: EscrowKey(0), suspendLimit: 1,
                details: .application(.init(source: nil, cookie: 0, isMapped: false, program: "cut-off", rule: mark)))
        }
        let later = try ruleBook(rule("port = 1\nlinks = \"stripe\"") + named)
        let route = try #require(later.route(of: identity(mark)))
        #expect(route.mode == .mirror && route.gatewayName == "gateway gw:7117")
        #expect(route.addresses == [SocketAddress(host: .v4(7), port: 7117)])
        // Whose gateway nobody names any more must not be met without being known.
        #expect(try ruleBook("").route(of: identity(mark)) == nil)
        let striped = try ruleBook(rule("links = \"stripe\""))
        let harmless = try verdict(striped).mark
        #expect(harmless != 0 && !Verdict.namesGateway(mark: harmless))
        #expect(try ruleBook("").route(of: identity(harmless))?.mode == .failover)
        #expect(try ruleBook("").route(of: identity(0))?.name == nil)
        #expect(Verdict(.session).mark == 0)
    }

    @Test("what rules say reaches the application")
    func applications() throws {
        let agent = try AgentUnderTest {
            try? $0.configuration.apply(
                Array(
                    """
                    [[rule]]
                    port = 81
                    treatment = "refuse"
                    [[rule]]
                    port = 82
                    treatment = "direct"
                    [[rule]]
                    port = 83
                    gateway = "127.0.0.1:1"
                    sources = "2001:db8::1"
                    [[rule]]
                    port = 84
                    detection = "off"
                    """.utf8), file: "f")
        }
        #expect(try agent.connect(to: "192.0.2.1", 81) == .refused(Errno.connectionRefused.rawValue))
        #expect(try agent.connect(to: "192.0.2.1", 82) == .direct)
        #expect(try agent.connect(to: "192.0.2.1", 83) == .refused(Errno.noRouteToHost.rawValue))
        #expect(try agent.connect(to: "192.0.2.1", 84) == .attempt(silence: 250, budget: 30_000))
        #expect(agent.agent.connectionCount == 0)
        // Rules that come later count for what comes later.
        var changed = Configuration()
        try changed.apply(Array("[[rule]]\ntreatment = \"refuse\"\n[limits]\nsessions = 1".utf8), file: "f")
        agent.agent.configurationChanged(.success(changed))
        #expect(try agent.connect(to: "192.0.2.1", 82) == .refused(Errno.connectionRefused.rawValue))
        #expect(agent.agent.admission.limits.sessions == 1)
    }
}
