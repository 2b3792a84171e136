import Testing

@testable import NetworkLab

/// The bytes by which the demo's programs find what was lost, doubled or moved.
struct DemoSequenceTests {
    @Test func contentFollowsFromThePositionAlone() {
        var whole = DemoSequence()
        var pieces = DemoSequence()
        let expected = whole.next(4096)
        #expect(pieces.next(64) + pieces.next(1024) + pieces.next(3008) == expected)
    }

    @Test func noEightBytesOccurTwice() {
        var sequence = DemoSequence()
        let bytes = sequence.next(80_000)
        let words = stride(from: 0, to: bytes.count, by: 8).map { Array(bytes[$0..<$0 + 8]) }
        #expect(Set(words).count == words.count)
    }
}
