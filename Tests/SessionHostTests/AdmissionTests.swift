import Policy
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Admission")
struct AdmissionTests {
    private final class Answers {
        var shortages: [Shortage?] = []
    }

    private func limits(_ text: String) throws -> Limits {
        var configuration = Configuration()
        try configuration.apply(Array("[limits]\n\(text)".utf8), file: "")
        return configuration.limits
    }

    /// Asks for `count` sessions at once, without any that could be given up.
    private func admit(_ count: Int, _ limits: Limits) throws -> (Admission, Answers, EventLoop) {
        let arena = ArenaLimits(capacity: limits.memory)
        let loop = try EventLoop(arena: arena)
        let admission = Admission(limits, pool: LoopPool(main: loop, maximum: 1, arenaLimits: arena))
        let answers = Answers()
        for _ in 0..<count { admission.admit { answers.shortages.append($0) } }
        let end = ContinuousClock.now + .seconds(10)
        while answers.shortages.count < count, ContinuousClock.now < end {
            loop.mailbox.post { _ in }
            loop.turn()
        }
        return (admission, answers, loop)
    }

    @Test("sessions are let in up to the limit; the rest is refused, in order, and let in when others leave")
    func sessions() throws {
        let (admission, answers, _) = try admit(5, limits("sessions = 3"))
        #expect(answers.shortages == [nil, nil, nil, .sessions, .sessions])
        #expect(admission.count == 3)
        admission.leave()
        admission.admit { answers.shortages.append($0) }
        #expect(answers.shortages.last == .some(nil) && admission.count == 3)
    }

    @Test("each session needs two descriptors, and some are for others")
    func descriptors() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let pool = LoopPool(main: loop, maximum: 1, arenaLimits: ArenaLimits(capacity: 1 << 20))
        for (descriptors, room) in [(1024, 448), (64, 16), (0, 1)] {
            let admission = Admission(try limits("sessions = 1000"), pool: pool, descriptors: descriptors)
            for _ in 0..<room { admission.takeOver() }
            var answer: Shortage??
            admission.admit { answer = .some($0) }
            let end = ContinuousClock.now + .seconds(10)
            while answer == nil, ContinuousClock.now < end {
                loop.mailbox.post { _ in }
                loop.turn()
            }
            #expect(answer == .some(.descriptors), "\(descriptors)")
            for _ in 0..<room { admission.leave() }
            answer = nil
            admission.admit { answer = .some($0) }
            #expect(answer == .some(nil))
        }
    }

    @Test("each session needs the memory that its peer is promised")
    func memory() throws {
        let (admission, answers, loop) = try admit(20, limits("memory = \"1MiB\""))
        #expect(answers.shortages == Array(repeating: nil, count: 16) + Array(repeating: .memory, count: 4))
        for _ in 0..<16 { admission.leave() }
        #expect(loop.arena.budget.bytesUsed == 0)
        admission.takeOver()
        #expect(admission.count == 1 && loop.arena.budget.bytesUsed == 64 << 10)
    }

    @Test("relayed connections have half of the descriptors at most, and what they have sessions have not")
    func relays() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let pool = LoopPool(main: loop, maximum: 1, arenaLimits: ArenaLimits(capacity: 1 << 20))
        let admission = Admission(try limits("sessions = 1000"), pool: pool, descriptors: 64)
        for _ in 0..<8 { #expect(admission.enterRelay()) }
        #expect(!admission.enterRelay())
        admission.leaveRelay()
        #expect(admission.enterRelay())
        for _ in 0..<8 { admission.takeOver() }
        admission.leaveRelay()
        #expect(admission.enterRelay() && !admission.enterRelay())
        var answers: [Shortage?] = []
        admission.admit { answers.append($0) }
        try turn(loop) { !answers.isEmpty }
        #expect(answers == [.descriptors])
        for _ in 0..<8 { admission.leaveRelay() }
        admission.admit { answers.append($0) }
        #expect(answers.last == .some(nil))
    }
}
