import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@testable import Engine

@Suite("Last words")
struct LastWordsTests {
    @Test("the words arrive although the peer's were never read")
    func arrive() throws {
        let loop = try makeLoop()
        let pair = try LegPair()
        put([UInt8](repeating: 1, count: 10_000), into: pair.application)
        let peer = TestApplication(pair.application, says: [], hears: Array("sorry".utf8))
        LastWords.say(Array("sorry".utf8), over: Link(plain: pair.leg), on: loop)
        try turn(loop, peer) { peer.sawEnd || peer.failure != nil }
        #expect(peer.isSatisfied)
    }

    @Test("a peer that goes on talking is cut off")
    func bounded() throws {
        let loop = try makeLoop()
        let pair = try LegPair()
        let peer = TestApplication(
            pair.application, says: [UInt8](repeating: 0, count: 64 << 20), hears: Array("sorry".utf8))
        LastWords.say(Array("sorry".utf8), over: Link(plain: pair.leg), on: loop)
        try turn(loop, peer) { peer.failure != nil }
        #expect(peer.written < 64 << 20)
    }

    private func turn(_ loop: EventLoop, _ peer: TestApplication, until condition: () -> Bool) throws {
        let end = ContinuousClock.now + .seconds(20)
        while !condition() {
            try #require(ContinuousClock.now < end)
            loop.mailbox.post { _ in }
            loop.turn()
            _ = peer.pump()
        }
    }
}
