import Kernel
import SystemPackage
import Testing
import Transport

@testable import Engine
@testable import SessionHost

@Suite("Plain relay")
struct PlainRelayTests {
    private final class Relayed {
        let loop: EventLoop
        let application: TestPeer
        let server: TestPeer

        /// - Parameters:
        ///   - refusing: whether there is a target before the server where nobody listens.
        init(saying header: [UInt8] = [], behindARefusal: Bool = false) throws {
            loop = try makeLoop()
            let (listener, entry) = (try TestListener(), try TestListener())
            application = try TestPeer(dialling: entry.address)
            var leg: TCPSocket?
            try turn(loop) {
                leg = (try? entry.socket.accept()) ?? nil
                return leg != nil
            }
            guard let leg = leg.take() else { throw Errno.timedOut }
            try leg.setResetOnClose(true)
            let note = Note()
            let targets = try behindARefusal ? [TestListener().address, listener.address] : [listener.address]
            PlainRelay.start(leg, to: targets, saying: header, on: loop) { note.ends.append($0) }
            var accepted: TestPeer?
            try turn(loop) {
                accepted = accepted ?? listener.accept()
                return accepted != nil
            }
            server = try #require(accepted)
            self.note = note
        }

        final class Note { var ends: [Errno?] = [] }
        let note: Note

        func run(until condition: () -> Bool) throws {
            try turn(loop) {
                application.listen()
                server.listen()
                return condition()
            }
        }
    }

    @Test("bytes pass both ways, and each direction ends by itself")
    func halfClose() throws {
        let relay = try Relayed()
        relay.application.say([1, 2, 3])
        relay.application.finish()
        try relay.run { relay.server.sawEnd }
        #expect(relay.server.heard == [1, 2, 3] && !relay.application.sawEnd)
        relay.server.say([4, 5])
        relay.server.finish()
        try relay.run { relay.application.sawEnd }
        #expect(relay.application.heard == [4, 5])
        #expect(relay.application.failure == nil && relay.server.failure == nil)
        #expect(relay.note.ends == [nil])
        #expect(relay.loop.arena.bytesInUse == 0, "the relay is still there")
    }

    @Test("a server that speaks first is heard at once, and an idle relay holds no memory")
    func serverSpeaksFirst() throws {
        let relay = try Relayed()
        relay.server.say(Array("220 ready".utf8))
        try relay.run { relay.application.heard == Array("220 ready".utf8) }
        #expect(relay.loop.arena.bytesInUse == 0 && relay.note.ends.isEmpty)
    }

    @Test("a client that goes without a word is one all the same")
    func silentClient() throws {
        let relay = try Relayed()
        relay.application.finish()
        try relay.run { relay.server.sawEnd }
        relay.server.say([7])
        relay.server.finish()
        try relay.run { relay.application.sawEnd }
        #expect(relay.application.heard == [7] && relay.note.ends == [nil])
    }

    @Test("the server hears the header before the client")
    func header() throws {
        let relay = try Relayed(saying: [1, 2])
        relay.application.say([3])
        try relay.run { relay.server.heard == [1, 2, 3] }
    }

    @Test("of several targets, the first that can be connected to is the server")
    func severalTargets() throws {
        let relay = try Relayed(behindARefusal: true)
        relay.application.say([3])
        try relay.run { relay.server.heard == [3] }
        #expect(relay.note.ends.isEmpty)
    }

    @Test("who does not read stops who writes, and gets everything in the end")
    func backPressure() throws {
        let relay = try Relayed()
        let piece = [UInt8](repeating: 5, count: 1 << 16)
        var sent = 0
        var isStuck = false
        try turn(relay.loop) {
            let count = relay.application.offer(piece)
            sent += count
            isStuck = count == 0 && relay.loop.arena.bytesInUse > 0
            return isStuck
        }
        #expect(relay.loop.arena.bytesInUse <= 1 << 16)
        relay.application.finish()
        try relay.run { relay.server.sawEnd }
        #expect(relay.server.heard.count == sent)
        #expect(relay.loop.arena.bytesInUse == 0)
    }

    @Test("a reset on one side is a reset on the other, never an end", arguments: [true, false])
    func reset(byApplication: Bool) throws {
        let relay = try Relayed()
        relay.application.say([1])
        relay.server.say([2])
        try relay.run { relay.server.heard == [1] && relay.application.heard == [2] }
        let (breaker, other) =
            byApplication ? (relay.application, relay.server) : (relay.server, relay.application)
        breaker.reset()
        try relay.run { other.failure != nil || other.sawEnd }
        #expect(other.failure == .connectionReset)
        #expect(relay.loop.arena.bytesInUse == 0, "the relay is still there")
    }

    @Test("a target that refuses is an error, and the application's connection is reset")
    func refused() throws {
        let loop = try makeLoop()
        let entry = try TestListener()
        let application = try TestPeer(dialling: entry.address)
        var leg: TCPSocket?
        try turn(loop) {
            leg = (try? entry.socket.accept()) ?? nil
            return leg != nil
        }
        guard let leg = leg.take() else { throw Errno.timedOut }
        try leg.setResetOnClose(true)
        var failures: [Errno?] = []
        PlainRelay.start(leg, to: [try TestListener().address], on: loop) { failures.append($0) }
        try turn(loop) {
            application.listen()
            return !failures.isEmpty && application.failure != nil
        }
        #expect(failures == [.connectionRefused])
        #expect(application.failure == .connectionReset)
    }
}
