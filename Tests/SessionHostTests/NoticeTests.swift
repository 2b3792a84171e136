import Engine
import SessionProtocol
import Testing

@testable import SessionHost

@Suite("Notices")
struct NoticeTests {
    @Test("what is true of many is said once, of few by name")
    func groups() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        var said: [String] = []
        let notices = GroupedNotices(on: loop) { text in
            said.append(text)
            if text.hasPrefix("1000") { loop.stop() }
        }
        for number in 0..<3 { notices.say("resumed", of: "session \(number)") }
        for number in 0..<1000 { notices.say("no link", of: "session \(number)") }
        loop.run()
        #expect(
            said == ["session 0: resumed", "session 1: resumed", "session 2: resumed", "1000 sessions: no link"])
        notices.say("resumed", of: "session 9")
        notices.flush()
        #expect(said.last == "session 9: resumed")
    }

    @Test(
        "times are short",
        arguments: [
            (Interval.milliseconds(1500), "1 s"), (.milliseconds(12), "12 ms"), (.seconds(3), "3 s"),
            (.seconds(310), "5 min 10 s"), (.seconds(3600), "1 h"), (.seconds(86_400), "24 h"),
            (.seconds(86_401), "1 d"), (.seconds(90_000), "1 d 1 h"), (.seconds(10 * 86_400), "10 d"),
        ])
    func intervals(interval: Interval, text: String) {
        #expect(interval.text == text)
    }
}
