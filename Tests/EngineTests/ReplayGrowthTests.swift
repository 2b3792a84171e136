import SessionProtocol
import Testing

@testable import Engine

@Suite struct ReplayGrowthTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)
    private static let mebibyte = 1 << 20

    /// Asks for a buffer of 1 MiB that has been filled `times` times within `period`.
    private func verdict(_ times: Int = 1, in period: Interval, roundTrip: Interval?) -> Bool {
        var growth = ReplayGrowth(end: 0, Self.start)
        return growth.isWorthwhile(
            capacity: Self.mebibyte, end: Position(times * Self.mebibyte), Self.start + period
        ) { roundTrip }
    }

    @Test func aSmallOneGrowsWheneverItIsFull() {
        var growth = ReplayGrowth(end: 0, Self.start)
        #expect(
            growth.isWorthwhile(capacity: 65_536, end: 65_536, Self.start + .seconds(9)) {
                Issue.record("nobody needs to know")
                return nil
            })
    }

    @Test func onALongPathTheBufferIsTheBound() {
        #expect(verdict(in: .milliseconds(55), roundTrip: .milliseconds(50)))
        #expect(verdict(in: .milliseconds(99), roundTrip: .milliseconds(50)))
        #expect(!verdict(in: .milliseconds(120), roundTrip: .milliseconds(50)), "the path is full with half of it")
    }

    @Test func onAShortPathTheRestWouldLieInQueues() {
        #expect(verdict(in: .microseconds(600), roundTrip: .microseconds(100)))
        #expect(!verdict(in: .milliseconds(1), roundTrip: .microseconds(100)))
    }

    @Test func whatIsNotKnownDoesNotBound() { #expect(verdict(in: .seconds(1), roundTrip: nil)) }

    /// It was not full for a while, and has been passed through ten times meanwhile.
    @Test func manyPassesCountAsMany() {
        #expect(verdict(10, in: .milliseconds(550), roundTrip: .milliseconds(50)))
        #expect(!verdict(10, in: .milliseconds(1200), roundTrip: .milliseconds(50)))
    }

    @Test func aPauseSpoilsOneVerdictAndNoMore() {
        var growth = ReplayGrowth(end: 0, Self.start)
        func isWorthwhile(_ passes: UInt64, after interval: Interval) -> Bool {
            growth.isWorthwhile(
                capacity: Self.mebibyte, end: passes * UInt64(Self.mebibyte), Self.start + interval
            ) { .milliseconds(50) }
        }
        #expect(!isWorthwhile(1, after: .seconds(60)))
        // Until everything has changed once more there is nothing to judge.
        #expect(!growth.isWorthwhile(capacity: Self.mebibyte, end: 1_500_000, Self.start + .seconds(60)) { nil })
        #expect(isWorthwhile(2, after: .milliseconds(60_060)))
    }
}
