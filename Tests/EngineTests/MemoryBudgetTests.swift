import CLinux
import Synchronization
import Testing

@testable import Engine

@Suite("Memory budget")
struct MemoryBudgetTests {
    @Test("what is taken is there no more, and comes back")
    func parts() {
        let budget = MemoryBudget(limit: 1000)
        #expect(budget.take(1000) && !budget.take(1))
        budget.giveBack(600)
        #expect(budget.take(600) && budget.bytesUsed == 1000)
        budget.takeOver(5)
        #expect(budget.bytesUsed == 1005 && !budget.take(0))
    }

    @Test("what is no need comes from the first quarter, and what grows leaves room for others")
    func bounds() {
        let budget = MemoryBudget(limit: 1600)
        #expect(budget.takeForComfort(400) && !budget.takeForComfort(1))
        // 800 of three quarters are left, and nobody grows to more than an eighth of it.
        #expect(budget.allowsGrowth(to: 100) && !budget.allowsGrowth(to: 101))
        #expect(budget.takeForGrowth(50, to: 100) && budget.bytesUsed == 450)
        #expect(!budget.takeForGrowth(50, to: 100))
    }

    @Test("arenas share it; what a promise has paid for is not paid for again")
    func arenas() throws {
        let limits = ArenaLimits(capacity: 1 << 20)
        let budget = MemoryBudget(limit: 256 << 10)
        let (first, second) = (try Arena(limits: limits, budget: budget), try Arena(limits: limits, budget: budget))
        do {
            let slot = first.allocate(bytes: 128 << 10)
            let other = second.allocate(bytes: 100 << 10)
            let refused = second.allocate(bytes: 1)
            #expect(budget.bytesUsed == 256 << 10)
            let paid = second.allocate(bytes: 1, isPaidFor: true)
            let found = [isThere(slot), isThere(other), isThere(refused), isThere(paid)]
            #expect(found == [true, true, false, true])
            #expect(budget.bytesUsed == 256 << 10)
            // An owner that is not used any more ends at once.
            _ = consume slot
            _ = consume other
            _ = consume refused
            _ = consume paid
        }
        #expect(budget.bytesUsed == 0 && first.bytesInUse == 0 && second.bytesInUse == 0)
    }

    private func isThere(_ slot: borrowing ArenaSlot?) -> Bool {
        switch slot {
        case .some: true
        case .none: false
        }
    }

    @Test("a window begins small when memory is short, grows when it is used, and gives all back")
    func promises() {
        let budget = MemoryBudget(limit: 64 << 20)
        do {
            var promise = WindowPromise(SessionBuffers(), from: budget)
            #expect(budget.bytesUsed == 192 << 10)
            var windows = [promise.window]
            for (promised, delivered) in [
                // Not passed through yet; no use for more; both; not passed through again.
                (256 << 10, 255 << 10), (100 << 10, 300 << 10), (256 << 10, 300 << 10), (512 << 10, 400 << 10),
            ] as [(UInt64, UInt64)] {
                _ = promise.growIfUsed(promised: promised, delivered: delivered)
                windows.append(promise.window)
            }
            #expect(windows == [256, 256, 256, 512, 512].map { $0 << 10 })
            for megabyte in 1...200 { _ = promise.growIfUsed(promised: 16 << 20, delivered: UInt64(megabyte) << 20) }
            let largest = promise.window
            #expect(largest == 4 << 20, "an eighth of what is left of three quarters")
            let small = WindowPromise(SessionBuffers(), from: MemoryBudget(limit: 512 << 10))
            let smallest = small.window
            #expect(smallest == SessionBuffers.leastPromise)
            _ = consume promise
            _ = consume small
        }
        #expect(budget.bytesUsed == 0)
    }

    @Test("a session in a hurry gets more of it, and leaves nothing behind")
    func session() throws {
        let loop = try makeLoop()
        let session = try TestSession(on: (loop, loop), near: randomBytes(8 << 20, seed: 11))
        try run([session]) { session.isOver }
        #expect(session.far.heard == 8 << 20)
        #expect(loop.arena.budget.bytesUsed == 0)
    }

    @Test("an application that cannot write for want of memory is told of, and goes on when there is some")
    func shortage() throws {
        let loop = try makeLoop(capacity: 1 << 20)
        let notes = Mutex(0)
        loop.arena.budget.whenShort { notes.withLock { $0 += 1 } }
        #expect(loop.arena.budget.take(loop.arena.budget.limit))
        let session = try TestSession(on: (loop, loop), near: [1, 2, 3])
        try run([session]) { notes.withLock { $0 } > 0 }
        #expect(session.far.heard == 0)
        loop.arena.budget.giveBack(loop.arena.budget.limit)
        try run([session]) { session.isOver }
        #expect(session.far.heard == 3)
    }
}
