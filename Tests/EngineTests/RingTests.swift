import CLinux
import Engine
import Testing

private let limits = ArenaLimits(capacity: 1 << 20, smallestSlot: 4096, largestSlot: 64 << 10, retained: 0)

private func append(_ bytes: [UInt8], to ring: inout Ring) -> Int {
    bytes.withUnsafeBytes { ring.append($0) }
}

/// Appends bytes, of which the ring is to take `count`.
private func expectAppend(_ bytes: [UInt8], to ring: inout Ring, takes count: Int) {
    let taken = append(bytes, to: &ring)
    #expect(taken == count)
}

private func contents(_ ring: borrowing Ring, _ range: Range<UInt64>) -> [UInt8] {
    let (first, second) = ring.spans(of: range)
    return Array(first) + (second.map { Array($0) } ?? [])
}

@Suite struct RingTests {
    /// Against an array, at positions whose sign bit changes as they grow, so that a signed comparison or a wrong modulus
    /// would show.
    @Test(
        arguments: [0, (1 << 32) - 5000, (1 << 63) - 5000, UInt64.max - 100 << 20] as [UInt64],
        0..<3 as Range<UInt64>)
    func agreesWithAnArray(base: UInt64, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let arena = try Arena(limits: limits)
        var ring = Ring(arena: arena, base: base, maximum: 32 << 10)
        var model: [UInt8] = []

        for _ in 0..<1_500 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<2:
                let bytes = random.bytes(count: .random(in: 0..<3000, using: &random))
                let taken = append(bytes, to: &ring)
                #expect(taken == min(bytes.count, 32 << 10 - model.count))
                model += bytes[..<taken]
            case 2..<5:
                let limit = Int.random(in: 1..<6000, using: &random)
                let source = random.bytes(count: limit)
                let space = ring.capacity == 0 ? 4096 : ring.freeSpace
                let filled: Int? = ring.withFree(atMost: limit) { first, second in
                    source.withUnsafeBytes { source in
                        first.iov_base!.copyMemory(from: source.baseAddress!, byteCount: first.iov_len)
                        guard let second else { return first.iov_len }
                        second.iov_base!.copyMemory(
                            from: source.baseAddress! + first.iov_len, byteCount: second.iov_len)
                        return first.iov_len + second.iov_len
                    }
                }
                #expect(filled == (space == 0 ? nil : min(limit, space)))
                let committed = Int.random(in: 0...(filled ?? 0), using: &random)
                ring.commit(committed)
                model += source[..<committed]
            case 5..<8:
                let released = Int.random(in: 0...model.count, using: &random)
                ring.release(below: ring.base + UInt64(released))
                model.removeFirst(released)
            case 8:
                let size = Int.random(in: 1...40 << 10, using: &random)
                let isLargeEnough = ring.grow(to: size)
                #expect(isLargeEnough == (size <= 32 << 10))
            default: ring.trim()
            }
            try #require(ring.count == model.count)
            #expect(ring.capacity <= 32 << 10)
            let lower = Int.random(in: 0...model.count, using: &random)
            let upper = Int.random(in: lower...model.count, using: &random)
            let found = contents(ring, ring.base + UInt64(lower)..<ring.base + UInt64(upper))
            try #require(found == Array(model[lower..<upper]))
        }
    }

    /// The place of a byte follows from its position alone: a successor process relies on it.
    @Test func bytesLieAtTheirPosition() throws {
        let arena = try Arena(limits: limits)
        let base: UInt64 = (1 << 63) - 3
        var ring = Ring(arena: arena, base: base, maximum: 4096)
        expectAppend([1, 2, 3, 4, 5], to: &ring, takes: 5)
        let (first, rest) = ring.spans(of: base..<base + 5)
        let second = try #require(rest)
        #expect(Array(first) == [1, 2, 3])
        #expect(Array(second) == [4, 5])
        #expect(second.baseAddress! + 4093 == first.baseAddress!)
    }

    @Test func holdsNoSlotAtRest() throws {
        let arena = try Arena(limits: limits)
        do {
            var ring = Ring(arena: arena, maximum: 64 << 10)
            #expect(arena.bytesInUse == 0)
            expectAppend([1, 2, 3], to: &ring, takes: 3)
            #expect(arena.bytesInUse == 4096)
            ring.trim()
            #expect(arena.bytesInUse == 4096, "a ring with bytes keeps its slot")
            ring.release(below: 3)
            #expect(arena.bytesInUse == 4096, "the hot path keeps its slot")
            ring.trim()
            #expect(arena.bytesInUse == 0)
            expectAppend([4], to: &ring, takes: 1)
            let hasGrown = ring.grow(to: 64 << 10)
            #expect(hasGrown)
            #expect(arena.bytesInUse == 64 << 10, "the smaller slot is free again")
            #expect(contents(ring, 3..<4) == [4])
        }
        #expect(arena.bytesInUse == 0)
    }

    @Test func fullArenaIsNoError() throws {
        let arena = try Arena(limits: ArenaLimits(capacity: 8192, smallestSlot: 4096, largestSlot: 8192))
        var first = Ring(arena: arena, maximum: 8192)
        var second = Ring(arena: arena, maximum: 8192)
        var third = Ring(arena: arena, maximum: 8192)
        expectAppend([1], to: &first, takes: 1)
        expectAppend([2], to: &second, takes: 1)
        expectAppend([3], to: &third, takes: 0)
        let lent: Bool? = third.withFree { _, _ in true }
        #expect(lent == nil)
        let hasGrown = first.grow(to: 8192)
        #expect(!hasGrown)
        expectAppend([UInt8](repeating: 7, count: 5000), to: &first, takes: 4095)
    }
}

extension SeededRandom {
    fileprivate mutating func bytes(count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count { buffer[index] = UInt8(truncatingIfNeeded: next()) }
            initialized = count
        }
    }
}
