import InMemoryLogging
import Kernel
import Logging
import SessionProtocol
import Testing

@testable import Gateway

@Suite("Log of strangers")
struct StrangerLogTests {
    private let handler = InMemoryLogHandler()
    private let begin = Instant(nanoseconds: 1_000_000_000_000)

    private var lines: [String] { handler.entries.map { "\($0.message)" } }

    private func log() -> StrangerLog { StrangerLog(Logger(label: "test", factory: { _ in handler })) }

    private func address(_ number: UInt32, port: UInt16 = 1000) -> SocketAddress {
        SocketAddress(host: .v4(0x0a00_0000 + number), port: port)
    }

    @Test("one address has a line a minute for each kind of trouble, and the rest is counted")
    func repeated() {
        var log = log()
        for count in 0..<100 {
            log.note("is slow", from: address(1, port: UInt16(1000 + count)), begin + .milliseconds(UInt64(count)))
        }
        log.note("is long", from: address(1), begin + .seconds(1))
        log.note("is slow", from: address(2), begin + .seconds(1))
        #expect(lines == ["10.0.0.1:1000: is slow", "10.0.0.1:1000: is long", "10.0.0.2:1000: is slow"])
        log.note("is slow", from: address(1), begin + .milliseconds(59_999))
        #expect(lines.count == 3)
        log.note("is slow", from: address(1), begin + .seconds(60))
        #expect(lines.dropFirst(3) == ["10.0.0.1:1000: is slow; 100 more like this since the last such line"])
    }

    @Test("all addresses together have 60 lines a minute, the last of which says that there is more")
    func many() {
        var log = log()
        for number in 0..<10_000 as Range<UInt32> { log.note("is slow", from: address(number), begin) }
        #expect(lines.count == 60)
        #expect(lines[58].hasSuffix(": is slow"))
        #expect(lines.last == "more strangers than lines for them; usl status counts them all")
        log.note("is slow", from: address(20_000), begin + .milliseconds(59_999))
        #expect(lines.count == 60)
        log.note("is slow", from: address(20_000), begin + .seconds(60))
        #expect(lines.count == 61 && lines.last == "10.0.78.32:1000: is slow")
    }
}
