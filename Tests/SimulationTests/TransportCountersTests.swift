import SessionProtocol
import Testing

@testable import Simulation

@Suite struct TransportCountersTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)

    /// An acknowledgement that took longer than the path can is one of bytes that were sent again (RFC 6298, section 3).
    @Test func whatWasSentAgainSaysNothingOfTheRoundTrip() {
        var counters = TransportCounters(Self.start)
        counters.sent(100, Self.start)
        counters.arrived(acknowledgedAt: Self.start + .milliseconds(990), longest: .milliseconds(8))
        counters.sent(100, Self.start + .seconds(1))
        counters.arrived(acknowledgedAt: Self.start + .milliseconds(1007), longest: .milliseconds(8))
        counters.advance(Self.start + .seconds(1))
        #expect(counters.acknowledged == 100 && counters.roundTrip == nil)
        counters.advance(Self.start + .seconds(2))
        #expect(counters.acknowledged == 200 && counters.roundTrip == .milliseconds(7))
    }

    /// A hole in a path with nothing known of its round trip: it was taken for one of a second, and the link watched accordingly.
    @Test func aHoleIsNoRoundTrip() throws { _ = try Simulation.run(seed: 5_084_257) }
}
