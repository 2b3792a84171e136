import Kernel
import SystemPackage
import Testing
import Transport

@testable import Agent
@testable import Engine

@Suite("Plain relay")
struct PlainRelayTests {
    private final class Relayed {
        let loop: EventLoop
        let application: TestPeer
        let server: TestPeer

        init() throws {
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
            PlainRelay.start(leg, to: listener.address, on: loop) { note.failures.append($0) }
            var accepted: TestPeer?
            try turn(loop) {
                accepted = accepted ?? listener.accept()
                return accepted != nil
            }
            server = try #require(accepted)
            self.note = note
        }

        final class Note { var failures: [Errno] = [] }
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
        #expect(relay.application.failure == nil && relay.server.failure == nil && relay.note.failures.isEmpty)
        #expect(relay.loop.arena.bytesInUse == 0, "the relay is still there")
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
        var failures: [Errno] = []
        PlainRelay.start(leg, to: try TestListener().address, on: loop) { failures.append($0) }
        try turn(loop) {
            application.listen()
            return !failures.isEmpty && application.failure != nil
        }
        #expect(failures == [.connectionRefused])
        #expect(application.failure == .connectionReset)
    }
}
