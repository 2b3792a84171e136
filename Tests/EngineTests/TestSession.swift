import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Engine

/// One session with all that is around it, on this thread: two applications, two drivers, and the path between them.
final class TestSession {
    let near: TestApplication
    let far: TestApplication
    let path: TestPath
    let acceptor: TestAcceptor
    let owner = RecordingOwner()
    private(set) weak var opener: SessionDriver?
    private var leg: TCPSocket?
    private let loops: [EventLoop]

    /// - Parameters:
    ///   - loops: the opener's and the acceptor's; may be the same.
    ///   - attaches: whether the opener gets its leg at once.
    init(
        on loops: (EventLoop, EventLoop), near nearOutput: [UInt8] = [], far farOutput: [UInt8] = [],
        cuts: [Int] = [], buffers: SessionBuffers = SessionBuffers(), attaches: Bool = true, id: UInt64 = 1
    ) throws {
        self.loops = loops.0 === loops.1 ? [loops.0] : [loops.0, loops.1]
        let nearPair = try LegPair()
        let farPair = try LegPair()
        near = TestApplication(nearPair.application, says: nearOutput, hears: farOutput)
        leg = .some(nearPair.leg)
        far = TestApplication(farPair.application, says: farOutput, hears: nearOutput)
        acceptor = try TestAcceptor(leg: farPair.leg, buffers: buffers, on: loops.1)
        path = try TestPath(to: acceptor.address, cuts: cuts)
        opener = try SessionDriver.open(
            SessionID(high: 0, low: id), to: acceptor.address, over: LinkPaths(to: [path.address]), .plain,
            suspendLimit: .hours(1), buffers: buffers, on: loops.0, owner: owner)
        if attaches { try attachLeg() }
    }

    func attachLeg() throws {
        guard let leg = leg.take() else { return }
        try opener?.attachLeg(leg, escrowKey: 1)
        opener?.settle()
    }

    /// One turn of everything.
    func step() throws {
        for loop in loops {
            // So that a turn without events does not wait for some.
            loop.mailbox.post { _ in }
            loop.turn()
        }
        try acceptor.pump()
        let moved = [try path.pump(), near.pump(), far.pump()]
        if !moved.contains(true) { usleep(50) }
    }

    /// Both ends are gone, each in order.
    var isOver: Bool { owner.isFinished && acceptor.owner.isFinished }
}

/// Turns the sessions until the condition holds, at most 60 s.
func run(
    _ sessions: [TestSession], sourceLocation: SourceLocation = #_sourceLocation, until condition: () -> Bool
) throws {
    let end = ContinuousClock.now + .seconds(60)
    while !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("did not come to pass", sourceLocation: sourceLocation)
            return
        }
        for session in sessions { try session.step() }
    }
}

func randomBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    let words = (0..<(count + 7) / 8).map { _ in random.next() }
    return words.withUnsafeBytes { [UInt8]($0.prefix(count)) }
}

func makeLoop(capacity: Int = 256 << 20) throws -> EventLoop { try EventLoop(arena: ArenaLimits(capacity: capacity)) }
