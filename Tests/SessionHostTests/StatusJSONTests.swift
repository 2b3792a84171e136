import Kernel
import SessionProtocol
import Testing
import Transport

@testable import Engine
@testable import SessionHost

@Suite("Status as JSON")
struct StatusJSONTests {
    @Test("no session is an empty list")
    func empty() {
        #expect(StatusJSON.encode([]) == "{\"sessions\":[]}\n")
    }

    @Test("every field is there, and the oldest session first")
    func fields() throws {
        let text = StatusJSON.encode([report(since: 86_400 * 365, id: 2), report(since: 951_782_400, id: 3)])
        #expect(isJSON(text))
        for field in [
            "\"id\":\"00000000000000010000000000000002\"", "\"role\":\"agent\"", "\"program\":\"curl\"",
            "\"peer\":\"[2001:db8::1]:7117\"", "\"destination\":\"192.0.2.1:80\"", "\"state\":\"active\"",
            "\"reason\":null", "\"since\":\"1971-01-01T00:00:00Z\"", "\"since\":\"2000-02-29T00:00:00Z\"",
            "\"bytes\":{\"sent\":18446744073709551615,\"received\":0}", "\"replay\":{\"bytes\":5,\"limit\":16777216}",
            "\"rtt_ms\":1.005", "\"rtt_ms\":null", "\"state\":\"current\"", "\"transport\":\"tcp\"", "\"reconnects\":7",
            "\"security\":\"tls\",\"resumed\":true", "\"security\":\"plain\",\"resumed\":null", "\"client\":null",
        ] { #expect(text.contains(field), "\(field) is missing in \(text)") }
        let (older, newer) = (text.range(of: "1971"), text.range(of: "2000"))
        #expect(try #require(older) < #require(newer))
    }

    @Test("clients are named by their keys")
    func clients() throws {
        let text = StatusJSON.encode([report(since: 0, id: 1)], clientName: { "\"\($0)\"" })
        #expect(isJSON(text))
        #expect(text.contains("\"client\":\"\\\"SHA256:AAA"), "\(text)")
    }

    @Test("limits and recent events, with milliseconds")
    func events() {
        let text = StatusJSON.encode([
            report(
                since: 0, id: 1, expires: 86_400,
                events: [
                    .init(event: .linkLost(.socket(104)), count: 2, at: 86_400_007),
                    .init(event: .resumed(after: .microseconds(1_500)), count: 1, at: 0),
                ])
        ])
        #expect(isJSON(text))
        for field in [
            "\"expires\":\"1970-01-02T00:00:00Z\"", "\"suspend_limit\":3600",
            "{\"at\":\"1970-01-02T00:00:00.007Z\",\"event\":\"link-lost\",\"count\":2,\"reason\":\"link-error\","
                + "\"error\":\"Connection reset by peer\"}",
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"event\":\"resumed\",\"count\":1,\"after_ms\":1.500}",
        ] { #expect(text.contains(field), "\(field) is missing in \(text)") }
        #expect(!StatusJSON.encode([report(since: 0, id: 1)]).contains("history"))
    }

    @Test(
        "whatever a program is called, the text is JSON",
        arguments: ["a\"b", "back\\slash", "line\nbreak\t\u{1}\u{1f}", "\u{7f}", "Ünïcode 🎉", "", "\0"])
    func names(program: String) {
        let text = StatusJSON.encode([report(since: 0, id: 1, program: program)])
        #expect(isJSON(text), "\(text)")
    }

    private func report(
        since: Int, id: UInt64, program: String = "curl", expires: Int? = nil,
        events: [SessionReport.RecentEvent]? = nil
    ) -> ProgramReport {
        let key = Fingerprint("SHA256:" + String(repeating: "A", count: 43))
        let gateway = SocketAddress(host: .v6(high: 0x2001_0db8 << 32, low: 1, scope: 0), port: 7117)
        let link = SessionReport.LinkReport(
            local: nil, remote: gateway, source: "wlan0", transport: .mptcp, security: .tls, isResumed: true,
            state: "current", roundTrip: .microseconds(1_005))
        let other = SessionReport.LinkReport(
            local: gateway, remote: gateway, source: nil, transport: .tcp, security: .plain, isResumed: nil,
            state: "joined", roundTrip: nil)
        let session = SessionReport(
            id: SessionID(high: 1, low: id), role: .opener,
            destination: SocketAddress(host: .v4(0xc000_0201), port: 80), peer: gateway, peerKey: key, state: .active,
            reason: nil, since: since, expires: expires, suspendLimit: .hours(1), sent: .max, received: 0,
            undelivered: 0, replayBytes: 5, replayLimit: 16 << 20,
            links: [link, other], reconnects: 7)
        return ProgramReport(session: session, program: program, events: events)
    }
}

extension String {
    /// Where a text begins in this one.
    fileprivate func range(of text: String) -> String.Index? {
        indices.first { self[$0...].hasPrefix(text) }
    }
}
