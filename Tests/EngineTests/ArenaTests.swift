import CLinux
import Kernel
import Testing

@testable import Engine

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

    /// VmFlags of the mapping that an address lies in (proc_pid_smaps(5)); `dd`: do not include in core dumps.
    private func mappingFlags(of address: UnsafeRawPointer?) throws -> [Substring] {
        let file = Descriptor(owning: try check(usl_open("/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0)))
        var (text, chunk) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
        while case let count = read(file.number, &chunk, chunk.count), count > 0 { text += chunk[..<count] }
        let wanted = UInt(bitPattern: address)
        var isInside = false
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            if ends.count == 2 { isInside = ends[0] <= wanted && wanted < ends[1] }
            if isInside, words[0] == "VmFlags:" { return Array(words.dropFirst()) }
        }
        return []
    }

    @Test("what applications say is in no core dump: neither rings nor what is read from links")
    func coreDumps() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let slot = try slot(64 << 10, of: loop.arena)
        #expect(try mappingFlags(of: loop.arena.base).contains("dd"))
        for offset in [0, loop.scratch.count - 1] {
            #expect(try mappingFlags(of: loop.scratch.baseAddress! + offset).contains("dd"))
        }
        _ = slot.size
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

    /// A ring's bytes are where the dead process left them; what it did not need goes back to the kernel.
    @Test func aSuccessorFindsARing() throws {
        let limits = ArenaLimits(capacity: 1 << 20, largestSlot: 256 << 10)
        let dead = try Arena(limits: limits)
        let unused = try slot(256 << 10, of: dead)
        memset(unused.base, 1, unused.size)
        var ring = Ring(arena: dead, base: 1000, maximum: 256 << 10)
        var place = (offset: 0, size: 0)
        let bytes = randomBytes(100_000, seed: 1)
        ring.grow(to: bytes.count) { place = ($0, $1) }
        #expect(bytes.withUnsafeBytes { ring.append($0) } == bytes.count)

        let file = Descriptor(owning: try check(usl_fcntl(dead.memoryFile, F_DUPFD_CLOEXEC, 0)))
        let overlapping = (offset: place.offset + place.size / 2, size: place.size / 2)
        let arena = try Arena(adopting: file, limits: limits, places: [place, overlapping, (1 << 30, 1 << 16)])
        #expect(arena.limits.capacity == limits.capacity && arena.bytesInUse == place.size)
        #expect(residentBytes(arena) <= place.size)
        var others: [Int] = []
        do {
            let first = try slot(256 << 10, of: arena)
            others.append(first.offset)
            #expect(first.offset != place.offset)
        }
        let none = arena.adopt(offset: overlapping.offset, size: overlapping.size) == nil
        #expect(none)
        guard let adopted = arena.adopt(offset: place.offset, size: place.size) else { throw NoSlot() }
        let twice = arena.adopt(offset: place.offset, size: place.size) == nil
        #expect(twice)
        let restored = Ring(
            arena: arena, adopting: adopted, base: 1000, end: 1000 + UInt64(bytes.count), maximum: 256 << 10)
        let (head, tail) = restored.spans(of: 1000..<1000 + UInt64(bytes.count))
        #expect(Array(head) + (tail.map(Array.init) ?? []) == bytes)
    }

    @Test func whatNobodyAdoptsIsFreed() throws {
        let limits = ArenaLimits(capacity: 1 << 20, largestSlot: 1 << 20)
        let dead = try Arena(limits: limits)
        let file = Descriptor(owning: try check(usl_fcntl(dead.memoryFile, F_DUPFD_CLOEXEC, 0)))
        let arena = try Arena(adopting: file, limits: limits, places: [(1 << 16, 1 << 16)])
        #expect(throws: NoSlot.self) { _ = try slot(1 << 20, of: arena) }
        arena.releaseUnclaimed()
        #expect(arena.bytesInUse == 0)
        _ = try slot(1 << 20, of: arena)
    }

    /// A process that dies while a ring moves leaves the old place with its bytes, or the new one with all of them.
    @Test func theNewPlaceIsPublishedBeforeTheOldIsFreed() throws {
        let arena = try Arena(limits: ArenaLimits(capacity: 1 << 20, largestSlot: 1 << 20, retained: 0))
        var ring = Ring(arena: arena, maximum: 1 << 20)
        let bytes = randomBytes(50_000, seed: 2)
        #expect(bytes.withUnsafeBytes { ring.append($0) } == bytes.count)
        let old = ring.slotOffset
        ring.grow(to: 100_000) { offset, size in
            var found = [UInt8](repeating: 0, count: bytes.count)
            #expect(pread(arena.memoryFile, &found, found.count, offset) == found.count && found == bytes)
            #expect(pread(arena.memoryFile, &found, found.count, old) == found.count && found == bytes)
            #expect(size == 128 << 10)
        }
        ring.release(below: ring.end)
        var inUse = 0
        ring.trim { inUse = arena.bytesInUse }
        #expect(inUse == 128 << 10 && arena.bytesInUse == 0)
    }
}
