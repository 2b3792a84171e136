import Kernel
import SessionProtocol
import Testing

@testable import Engine

@Suite struct FastOpeningTests {
    private let start = Instant(nanoseconds: 1)

    /// A gateway without an answer is dialled without it for a while; others are not concerned.
    @Test func pauses() {
        let opening = FastOpening()
        let gateway = SocketAddress(host: .v4(0x0a00_0001), port: 7117)
        let other = SocketAddress(host: .v4(0x0a00_0002), port: 7117)
        #expect(opening.isWorthATry(gateway, start))
        opening.failed(gateway, start)
        opening.failed(other, start + .seconds(60))
        #expect(!opening.isWorthATry(gateway, start + .seconds(599)))
        #expect(opening.isWorthATry(gateway, start + FastOpening.pause))
        #expect(!opening.isWorthATry(other, start + FastOpening.pause))
    }
}
