import Testing

@testable import Engine

@Suite struct BuddyAllocatorTests {
    /// Against a plain map of used blocks: chunks are aligned, never overlap, and are refused only when no aligned run of
    /// free blocks exists.
    @Test(arguments: 0..<6 as Range<UInt64>) func agreesWithAMap(seed: UInt64) throws {
        let (blockCount, largestOrder) = (96, 4)
        var random = SeededRandom(seed: seed)
        var buddies = BuddyAllocator(blockCount: blockCount, largestOrder: largestOrder)
        var isUsed = [Bool](repeating: false, count: blockCount)
        var chunks: [(block: Int, order: Int)] = []

        for _ in 0..<4_000 {
            if Int.random(in: 0..<100, using: &random) < 55 {
                let order = Int.random(in: 0...largestOrder, using: &random)
                let size = 1 << order
                if let block = buddies.allocate(order: order) {
                    #expect(block % size == 0)
                    #expect(!isUsed[block..<block + size].contains(true))
                    for index in block..<block + size { isUsed[index] = true }
                    chunks.append((block, order))
                } else {
                    let hasRoom = stride(from: 0, to: blockCount, by: size).contains {
                        !isUsed[$0..<$0 + size].contains(true)
                    }
                    #expect(!hasRoom)
                }
            } else if !chunks.isEmpty {
                let (block, order) = chunks.remove(at: .random(in: chunks.indices, using: &random))
                for index in block..<block + (1 << order) { isUsed[index] = false }
                buddies.free(block, order: order, reuseFirst: .random(using: &random))
            }
        }

        for (block, order) in chunks { buddies.free(block, order: order, reuseFirst: true) }
        let largest = (0..<blockCount >> largestOrder).compactMap { _ in buddies.allocate(order: largestOrder) }
        #expect(largest.count == blockCount >> largestOrder, "all buddies have joined")
        let more = buddies.allocate(order: 0)
        #expect(more == nil, "everything is in use")
    }

    @Test func reusesTheChunkThatItShould() throws {
        var buddies = BuddyAllocator(blockCount: 4, largestOrder: 0)
        let blocks = (0..<4).compactMap { _ in buddies.allocate(order: 0) }
        #expect(blocks.count == 4)
        buddies.free(blocks[0], order: 0, reuseFirst: true)
        buddies.free(blocks[1], order: 0, reuseFirst: false)
        buddies.free(blocks[2], order: 0, reuseFirst: true)
        let reused = (0..<3).map { _ in buddies.allocate(order: 0) }
        #expect(reused == [blocks[2], blocks[0], blocks[1]])
    }

    /// Chunks that were in use before are nobody else's, and come back like any other.
    @Test(arguments: 0..<6 as Range<UInt64>) func reserves(seed: UInt64) {
        let (blockCount, largestOrder) = (64, 4)
        var random = SeededRandom(seed: seed)
        var buddies = BuddyAllocator(blockCount: blockCount, largestOrder: largestOrder)
        var isUsed = [Bool](repeating: false, count: blockCount)
        var chunks: [(block: Int, order: Int)] = []
        for _ in 0..<200 {
            let order = Int.random(in: 0...largestOrder, using: &random)
            let block = Int.random(in: 0..<blockCount >> order, using: &random) << order
            let range = block..<block + (1 << order)
            let isFree = !isUsed[range].contains(true)
            #expect(buddies.reserve(block, order: order) == isFree)
            guard isFree else { continue }
            for index in range { isUsed[index] = true }
            chunks.append((block, order))
        }
        while let block = buddies.allocate(order: 0) {
            #expect(!isUsed[block])
            isUsed[block] = true
            chunks.append((block, 0))
        }
        #expect(!isUsed.contains(false))
        for chunk in chunks { buddies.free(chunk.block, order: chunk.order, reuseFirst: true) }
        for _ in 0..<blockCount >> largestOrder { #expect(buddies.allocate(order: largestOrder) != nil) }
    }
}
