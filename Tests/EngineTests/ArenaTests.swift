import CLinux
import Engine
import Testing

@Suite struct ArenaTests {
    /// Bytes of memory that the kernel holds for the arena.
    private func residentBytes(_ arena: Arena) -> Int {
        var status = stat()
        fstat(arena.memoryFile, &status)
        return Int(status.st_blocks) * 512
    }

    private struct NoSlot: Error {}

    private func slot(_ bytes: Int, of arena: Arena) throws -> ArenaSlot {
        guard let slot = arena.allocate(bytes: bytes) else { throw NoSlot() }
        return slot
    }

    @Test func roundsItsSizes() {
        let limits = ArenaLimits(capacity: 5_000_000, smallestSlot: 100_000, largestSlot: 16 << 20)
        #expect(limits.smallestSlot == 64 << 10)
        #expect(limits.largestSlot == 4 << 20)
        #expect(limits.capacity == 4 << 20)
    }

    @Test func refusesAboveItsLimit() throws {
        let arena = try Arena(limits: ArenaLimits(capacity: 1 << 20, smallestSlot: 64 << 10, largestSlot: 512 << 10))
        #expect(throws: NoSlot.self) { _ = try slot(513 << 10, of: arena) }
        let first = try slot(512 << 10, of: arena)
        do {
            let second = try slot(300 << 10, of: arena)
            #expect(second.size == 512 << 10)
            #expect(second.offset != first.offset)
            #expect(arena.bytesInUse == 1 << 20)
            #expect(throws: NoSlot.self) { _ = try slot(1, of: arena) }
        }
        #expect(arena.bytesInUse == first.size)
        let small = try slot(1, of: arena)
        #expect(small.size == 64 << 10)
        #expect(UInt(bitPattern: small.base) % 4096 == 0)
    }

    @Test func givesMemoryBackToTheKernel() throws {
        let arena = try Arena(limits: ArenaLimits(capacity: 1 << 20, largestSlot: 1 << 20, retained: 0))
        do {
            let slot = try slot(1 << 20, of: arena)
            memset(slot.base, 1, slot.size)
            #expect(residentBytes(arena) == 1 << 20)
        }
        #expect(residentBytes(arena) == 0)
    }

    @Test func retainsSomeMemoryForTheNextSlot() throws {
        let arena = try Arena(limits: ArenaLimits(capacity: 1 << 20, largestSlot: 256 << 10, retained: 256 << 10))
        for _ in 0..<3 {
            let kept = try slot(256 << 10, of: arena)
            let rest = try slot(256 << 10, of: arena)
            memset(kept.base, 1, kept.size)
            memset(rest.base, 1, rest.size)
        }
        #expect(residentBytes(arena) == 256 << 10)
        let reused = try slot(256 << 10, of: arena)
        memset(reused.base, 1, reused.size)
        #expect(residentBytes(arena) == 256 << 10, "the slot whose pages were kept comes first")
    }

    /// A successor process sees the same bytes in the file.
    @Test func fileHoldsTheBytes() throws {
        let arena = try Arena(limits: ArenaLimits(capacity: 1 << 20, largestSlot: 1 << 20))
        let slot = try slot(64 << 10, of: arena)
        slot.base.storeBytes(of: 0x1234_5678, as: UInt32.self)
        var word: UInt32 = 0
        #expect(pread(arena.memoryFile, &word, 4, slot.offset) == 4)
        #expect(word == 0x1234_5678)
    }
}
