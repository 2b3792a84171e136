import Testing

@testable import Interception
@testable import usl

@Suite("Sessions by their identifiers")
struct SessionFinderTests {
    private static let first = "0123456789abcdef0000000000000001"
    private static let second = "0123ffff00000000000000000000000a"

    private func finder(_ identifiers: String...) -> SessionFinder {
        SessionFinder(
            identifiers.enumerated().compactMap { number, hex in
                let value = JSONValue.object([.init(name: "id", value: .string(hex))])
                return SessionFinder.End(entry: .init(role: .agent, process: Int32(number), path: ""), value: value)
            })
    }

    @Test("as many digits as tell it from others suffice, in either case; both ends may be here")
    func prefixes() throws {
        let finder = finder(Self.first, Self.second, Self.first, "not hexadecimal")
        #expect(finder.all.count == 3)
        for prefix in ["01234", "01234567", "0123456789ABCDEF", Self.first] {
            let found = try finder.detail(of: prefix)
            #expect(found.map(\.entry.process) == [0, 2], "\(prefix)")
            #expect(found[0].name == SessionName(high: 0x0123_4567_89ab_cdef, low: 1))
        }
        #expect(try finder.detail(of: "0123f").map(\.hex) == [Self.second])
    }

    @Test("what is none, none of these, or several, is said")
    func failures() {
        let finder = finder(Self.first, Self.second)
        for (text, failure) in [
            ("0123", SessionFinder.Failure.ambiguous("0123", [Self.first, Self.second])), ("9", .unknown("9")),
            ("", .noIdentifier("")), ("xyz", .noIdentifier("xyz")), (Self.first + "0", .noIdentifier(Self.first + "0")),
        ] {
            #expect(throws: failure) { _ = try finder.detail(of: text) }
        }
    }

    @Test("one session in full")
    func detail() throws {
        let text = #"""
            {"id":"ab","role":"agent","program":"ssh","destination":"192.0.2.1:22","peer":"192.0.2.1:7117","client":"Ann",
             "state":"suspended","reason":"link-error","since":"2026-01-31T08:39:50Z","expires":"2026-02-01T08:39:50Z",
             "suspend_limit":86400,"bytes":{"sent":1,"received":2},"replay":{"bytes":3,"limit":4},"reconnects":5,
             "links":[{"local":null,"remote":"192.0.2.1:7117","state":"connecting","rtt_ms":null,"transport":"tcp",
                       "security":"tls","resumed":true}],
             "history":[{"at":"2026-01-31T08:39:50.123Z","event":"link-lost","count":2,"reason":"link-error","error":"E"},
                        {"at":"2026-01-31T08:39:51.000Z","event":"resumed","count":1,"after_ms":1.500}]}
            """#
        let lines = SessionDetail(try #require(JSONValue(Array(text.utf8)))).text.split(separator: "\n").map(
            String.init)
        for line in [
            "state          suspended, link-error, since 2026-01-31T08:39:50Z",
            "expires        2026-02-01T08:39:50Z (may be suspended for 86400 s)",
            "replay buffer  3 of at most 4 bytes", "links",
            "  connecting  tcp  tls, resumed  -  to  192.0.2.1:7117  RTT - ms",
            "peer           192.0.2.1:7117 (Ann)",
            "  2026-01-31T08:39:50.123Z  link-lost  E, 2 times",
            "  2026-01-31T08:39:51.000Z  resumed    after 1.500 ms",
        ] { #expect(lines.contains(line), "\(line) is not in \(lines)") }
    }
}
