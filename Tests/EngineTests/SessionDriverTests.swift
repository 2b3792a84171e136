import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Engine

@Suite("Session driver")
struct SessionDriverTests {
    @Test("both directions arrive whole, and nothing is left", arguments: [1, 2])
    func bothDirections(loopCount: Int) throws {
        let first = try makeLoop()
        let loops = (first, loopCount == 1 ? first : try makeLoop())
        let session = try TestSession(
            on: loops, near: randomBytes(3 << 20, seed: 1), far: randomBytes(2 << 20, seed: 2))
        try run([session]) { session.isOver }
        expectFinished(session)
        #expect(session.opener == nil && session.acceptor.driver == nil, "a driver outlives its session")
        #expect(loops.0.arena.bytesInUse == 0 && loops.1.arena.bytesInUse == 0)
    }

    @Test("an application that ends its direction still hears the other")
    func halfClose() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: [1, 2, 3], far: randomBytes(100_000, seed: 3))
        session.far.finishes = false
        try run([session]) { session.far.sawEnd && session.near.heard == 100_000 }
        #expect(!session.near.sawEnd && session.owner.endings.isEmpty)
        session.far.finishes = true
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    /// From the first byte on, through preface, OPEN, OPENED and into DATA; then once more on the link that replaces it.
    @Test("a link may break at any byte")
    func cuts() throws {
        let loop = try makeLoop()
        let places =
            Array(stride(from: 1, to: 400, by: 23)) + [1_000, 5_000, 65_000, 70_000, 131_071, 200_000, 399_000]
        let sessions = try places.enumerated().map { index, place in
            try TestSession(
                on: (loop, loop), near: randomBytes(300_000, seed: UInt64(place)),
                far: randomBytes(200_000, seed: UInt64(place) + 1), cuts: [place, 500 - min(place, 399)],
                id: UInt64(index + 1))
        }
        try run(sessions) { sessions.allSatisfy(\.isOver) }
        for session in sessions { expectFinished(session) }
        #expect(sessions.allSatisfy { $0.path.accepted >= 3 })
        #expect(loop.arena.bytesInUse == 0)
    }

    /// Short streams, so that every end, of a direction and of the session, meets a fault soon.
    @Test("a path that is cut, stalled and released at random changes nothing", arguments: [1, 2, 3] as [UInt64])
    func chaos(seed: UInt64) throws {
        let loop = try makeLoop()
        var random = SeededRandom(seed: seed)
        let sessions = try (1...24).map { id in
            try TestSession(
                on: (loop, loop), near: randomBytes(Int.random(in: 0..<60_000, using: &random), seed: seed << 8 + id),
                far: randomBytes(Int.random(in: 0..<60_000, using: &random), seed: seed << 16 + id), id: id)
        }
        for session in sessions { session.path.chunk = 400 }
        let calm = ContinuousClock.now + .seconds(2)
        try run(sessions) {
            let isCalm = ContinuousClock.now >= calm
            for session in sessions {
                switch isCalm ? 3 : Int.random(in: 0..<40, using: &random) {
                case 0, 1: session.path.cut()
                case 2: session.path.isStalled = true
                case 3, 4, 5: session.path.isStalled = false
                default: break
                }
            }
            return sessions.allSatisfy(\.isOver)
        }
        for session in sessions { expectFinished(session) }
        #expect(sessions.reduce(0) { $0 + $1.path.accepted } > 3 * sessions.count, "hardly anything was cut")
        #expect(loop.arena.bytesInUse == 0)
    }

    @Test("a path that stalls holds the bytes up, and loses none")
    func stall() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: randomBytes(4 << 20, seed: 4))
        try run([session]) { session.far.heard > 100_000 }
        session.path.isStalled = true
        var written = -1
        var quiet = 0
        try run([session]) {
            quiet = session.near.written == written ? quiet + 1 : 0
            written = session.near.written
            return quiet > 100
        }
        // Silent for a second, the link is suspect, but nothing has failed.
        #expect(session.opener?.ending == nil && session.opener?.report.links.isEmpty == false)
        session.path.isStalled = false
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    @Test("an application that does not read holds the other up; windows and rings bound what is under way")
    func slowReader() throws {
        let loop = try makeLoop()
        let output = randomBytes(16 << 20, seed: 5)
        let session = try TestSession(
            on: (loop, loop), near: output, buffers: SessionBuffers(replay: 128 << 10, window: 128 << 10))
        session.far.reads = false
        var written = -1
        var quiet = 0
        try run([session]) {
            quiet = session.near.written == written ? quiet + 1 : 0
            written = session.near.written
            return quiet > 200
        }
        #expect(session.near.written < output.count)
        #expect(loop.arena.bytesInUse <= 4 * 128 << 10)
        // A link that is lost while windows are full changes nothing.
        session.path.cut()
        try run([session]) { session.path.accepted == 2 && session.opener?.session.hasLink == true }
        session.far.reads = true
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    @Test("a server that speaks first is heard by an application that comes later")
    func laterLeg() throws {
        let loop = try makeLoop()
        let session = try TestSession(
            on: (loop, loop), near: [9], far: randomBytes(50_000, seed: 6), attaches: false)
        try run([session]) { session.owner.isOpened && session.opener?.session.receivedPosition ?? 0 > 0 }
        #expect(session.near.heard == 0)
        try session.attachLeg()
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    @Test("an application that never comes is a reset at the other end")
    func abandonedLeg() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), attaches: false)
        session.near.finishes = false
        session.far.finishes = false
        try run([session]) { session.owner.isOpened }
        session.opener?.abandonLeg()
        try run([session]) { session.isOver }
        #expect(session.far.failure == .connectionReset)
        #expect(session.owner.legsClosed == 0 && session.acceptor.owner.legsClosed == 1)
        // What comes too late is reset too, and its copy in escrow released.
        #expect(session.opener == nil)
    }

    @Test("a reset arrives behind the bytes before it, from either end", arguments: [true, false])
    func reset(byOpener: Bool) throws {
        let loop = try makeLoop()
        let output = randomBytes(400_000, seed: 7)
        let session = try TestSession(on: (loop, loop), near: byOpener ? output : [], far: byOpener ? [] : output)
        session.near.finishes = false
        session.far.finishes = false
        let (speaker, listener) = byOpener ? (session.near, session.far) : (session.far, session.near)
        let driver = byOpener ? session.opener : session.acceptor.driver
        try run([session]) { speaker.written == output.count && session.owner.isOpened }
        // A reset takes what the kernel holds with it; so it comes when the driver has everything.
        let speaking = driver ?? session.acceptor.driver
        try run([session]) { speaking?.session.taken == UInt64(output.count) }
        speaker.reset()
        try run([session]) { session.isOver }
        #expect(listener.heard == output.count && !listener.isWrong)
        #expect(listener.failure == .connectionReset && !listener.sawEnd)
    }

    @Test("a reset that an application does not read up to takes effect all the same")
    func resetBehindFullWindow() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: randomBytes(200_000, seed: 8))
        session.near.finishes = false
        session.far.finishes = false
        session.far.reads = false
        try run([session]) { session.opener?.session.taken == 200_000 }
        session.near.reset()
        try run([session]) { session.acceptor.driver?.session.state == .closing || session.isOver }
        session.far.reads = true
        try run([session]) { session.isOver }
        #expect(session.far.failure == .connectionReset && !session.far.sawEnd)
    }

    /// A read ends before the urgent byte, so what follows it would be left in the leg.
    @Test("bytes behind an urgent one are not forgotten")
    func urgentBytes() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: Array("abc".utf8))
        session.near.finishes = false
        session.far.finishes = false
        try run([session]) { session.acceptor.driver?.session.delivered == 3 }
        // All three before the driver's next turn.
        session.near.send(urgent: 0x21)
        session.near.send(urgent: 0x22)
        try run([session]) { session.acceptor.driver?.session.delivered == 5 }
    }

    @Test("what a link has brought before it broke is delivered, also when a write finds the break first")
    func bytesBeforeReset() throws {
        let near = try makeLoop()
        let far = try makeLoop()
        let session = try TestSession(
            on: (near, far), near: randomBytes(1 << 20, seed: 10), far: randomBytes(100_000, seed: 9))
        session.far.finishes = false
        session.near.finishes = false
        try run([session]) { session.acceptor.driver?.session.hasLink == true && session.owner.isOpened }
        // The opener's loop stands still while bytes arrive for it, and then a reset.
        var quiet = 0
        while quiet < 20 {
            far.mailbox.post { _ in }
            far.turn()
            let moved = [session.far.pump(), try session.path.pump(), session.near.pump()].contains(true)
            quiet = moved ? 0 : quiet + 1
            usleep(200)
        }
        let before = session.opener?.session.receivedPosition ?? 0
        session.path.isStalled = true
        session.path.cut()
        near.mailbox.post { _ in }
        near.turn()
        near.mailbox.post { _ in }
        near.turn()
        #expect((session.opener?.session.receivedPosition ?? 0) > before)
        #expect(session.owner.failures.count == 1)
        session.path.isStalled = false
        session.far.finishes = true
        session.near.finishes = true
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    @Test("rings grow while everything in them is under way, and are given back when a session rests")
    func ringSizes() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: randomBytes(8 << 20, seed: 11))
        session.near.finishes = false
        session.far.reads = false
        try run([session]) { loop.arena.bytesInUse > 64 << 10 }
        session.far.reads = true
        try run([session]) { session.far.heard == 8 << 20 && session.opener?.session.undelivered == 0 }
        #expect(session.owner.ringMoves >= 2)
        for driver in [session.opener, session.acceptor.driver] {
            for _ in 0..<2 { driver?.timerExpired(TimerToken(index: .max, generation: 0), on: loop) }
        }
        #expect(loop.arena.bytesInUse == 0)
        session.near.finishes = true
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    @Test("a session that the arena has no room for goes on when there is some")
    func starved() throws {
        let loop = try makeLoop(capacity: 64 << 10)
        let output = randomBytes(300_000, seed: 12)
        var hog: ArenaSlot? = loop.arena.allocate(bytes: 64 << 10)
        #expect(loop.arena.bytesInUse == 64 << 10)
        let session = try TestSession(on: (loop, try makeLoop()), near: output)
        try run([session]) { session.owner.isOpened }
        for _ in 0..<50 { try session.step() }
        #expect(session.far.heard == 0)
        _ = hog.take()
        try run([session]) { session.isOver }
        expectFinished(session)
    }

    @Test("an end that is given up resets both applications", arguments: [true, false])
    func drop(byOpener: Bool) throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: [1], far: [2])
        session.near.finishes = false
        session.far.finishes = false
        try run([session]) { session.near.heard == 1 && session.far.heard == 1 }
        (byOpener ? session.opener : session.acceptor.driver)?.drop(saying: .ending)
        try run([session]) { session.isOver }
        #expect(session.near.failure == .connectionReset && session.far.failure == .connectionReset)
        #expect(session.owner.legsClosed == 1 && session.acceptor.owner.legsClosed == 1)
    }

    private func expectFinished(_ session: TestSession, sourceLocation: SourceLocation = #_sourceLocation) {
        for application in [session.near, session.far] {
            #expect(application.isSatisfied, "\(application.heard) bytes heard", sourceLocation: sourceLocation)
            #expect(application.failure == nil, sourceLocation: sourceLocation)
        }
        for owner in [session.owner, session.acceptor.owner] {
            #expect(owner.endings == [.finished], sourceLocation: sourceLocation)
            #expect(owner.legsClosed == 1, sourceLocation: sourceLocation)
        }
    }
}
