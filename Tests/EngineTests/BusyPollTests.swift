import SessionProtocol
import Testing

@testable import Engine

@Suite struct BusyPollTests {
    private static let short = BusyPoll.limit
    private static let long = Interval.milliseconds(5)

    /// A wait that ends with an event after `wait`, as a loop does it.
    ///
    /// - Returns: whether it began with looking.
    private func passes(_ polling: inout BusyPoll, _ wait: Interval) -> Bool {
        let looks = polling.looks()
        if looks, wait < BusyPoll.limit {
            polling.found()
            return true
        }
        if looks { polling.wasInVain() }
        polling.slept(wait)
        return looks
    }

    @Test func looksOnceWaitsAreShort() {
        var polling = BusyPoll(processors: 2)
        let waits = [Self.long, .microseconds(70), .microseconds(10), .microseconds(10), .microseconds(10)]
        #expect(waits.map { passes(&polling, $0) } == [false, false, true, true, true])
    }

    @Test func sleepsAtOnceAfterALongWait() {
        var polling = BusyPoll(processors: 2)
        #expect(!passes(&polling, Self.short))
        #expect(passes(&polling, Self.long))
        for _ in 0..<10 { #expect(!passes(&polling, Self.long)) }
    }

    /// Events come a little later than it looks for them: what that costs is bounded, also if it goes on.
    @Test func givesUpMoreAndMore() {
        var polling = BusyPoll(processors: 2)
        let vain = (0..<10_000).count { _ in passes(&polling, .microseconds(80)) }
        #expect((100...180).contains(vain), "\(vain)")
        // And it is as before once they come sooner.
        for _ in 0..<100 { _ = passes(&polling, .microseconds(10)) }
        #expect(passes(&polling, .microseconds(10)))
    }

    @Test func aSingleProcessorIsForThoseWhoWork() {
        var polling = BusyPoll(processors: 1)
        for _ in 0..<10 { #expect(!passes(&polling, Self.short)) }
    }
}
