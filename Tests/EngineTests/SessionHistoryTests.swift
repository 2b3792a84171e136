import SessionProtocol
import Testing

@testable import Engine

@Suite("Session history")
struct SessionHistoryTests {
    private typealias Event = SessionHistory.Event

    @Test("what repeats is counted, and the oldest makes room")
    func bounds() {
        var history = SessionHistory()
        for second in 1...3 { history.note(.dialFailed(.closed), Instant(nanoseconds: UInt64(second))) }
        #expect(history.entries.map(\.count) == [3] && history.entries[0].at.nanoseconds == 3)
        for number in 0..<100 {
            history.note(number.isMultiple(of: 2) ? .switched : .suspended, Instant(nanoseconds: 9))
        }
        #expect(history.entries.count == SessionHistory.capacity)
        #expect(history.entries.last?.event == .suspended)
    }

    @Test("a session tells of its opening, its losses, its pauses and its end, at either end")
    func events() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: [1], far: [2])
        session.near.finishes = false
        session.far.finishes = false
        try run([session]) { session.near.heard == 1 && session.far.heard == 1 }
        let (opener, acceptor) = (try #require(session.opener), try #require(session.acceptor.driver))
        #expect(opener.history.entries.map(\.event) == [.opened])
        #expect(acceptor.history.entries.map(\.event) == [.opened])
        session.path.cut()
        try run([session]) { session.path.accepted == 2 && opener.session.hasLink && acceptor.session.hasLink }
        for driver in [opener, acceptor] {
            let events = driver.history.entries.map(\.event)
            guard events.count >= 3, case .linkLost = events[1], case .resumed(let pause)? = events.last else {
                Issue.record("\(events)")
                continue
            }
            #expect(pause < .seconds(30))
            let report = driver.recentEvents
            #expect(report.map(\.at) == report.map(\.at).sorted() && report.count == events.count)
        }
        #expect(session.owner.states == [.active, .suspended, .active])
        session.near.finishes = true
        session.far.finishes = true
        try run([session]) { opener.history.entries.last?.event == .closing }
        try run([session]) { session.isOver }
    }

    @Test("a suspended session has a limit and the time of its end")
    func expiry() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop))
        session.near.finishes = false
        session.far.finishes = false
        try run([session]) { session.opener?.session.state == .active && session.acceptor.driver != nil }
        let driver = try #require(session.opener)
        #expect(driver.report.expires == nil && driver.report.suspendLimit == .hours(1))
        session.path.isStalled = true
        session.path.cut()
        try run([session]) { driver.session.state == .suspended }
        let left = try #require(driver.report.expires) - driver.report.since
        #expect((3590...3600).contains(left))
        driver.drop(saying: .ending)
        session.path.isStalled = false
        session.acceptor.driver?.drop(saying: .ending)
        try run([session]) { session.isOver }
    }
}
