/// A binary buddy allocator (Knuth, TAOCP vol. 1, 2.5) over numbered blocks: a chunk of order k is 2ᵏ blocks, aligned to its
/// size. It only counts; the memory is its owner's. Both operations take a step per order at most.
struct BuddyAllocator {
    private static let noChunk: Int8 = -1

    let blockCount: Int
    let largestOrder: Int

    /// The order of the free chunk that begins at a block, or `noChunk`.
    private var freeOrder: ContiguousArray<Int8>
    /// Circular lists of free chunks, linked by their first blocks. Entry `blockCount + k` heads the list of order k.
    private var next: ContiguousArray<Int32>
    private var previous: ContiguousArray<Int32>

    /// All blocks are free. `blockCount` is a multiple of 2 to the `largestOrder`.
    init(blockCount: Int, largestOrder: Int) {
        precondition(blockCount % (1 << largestOrder) == 0, "blocks must fill the largest chunks")
        self.blockCount = blockCount
        self.largestOrder = largestOrder
        freeOrder = ContiguousArray(repeating: Self.noChunk, count: blockCount)
        next = ContiguousArray(0..<Int32(blockCount + largestOrder + 1))
        previous = next
        for block in stride(from: 0, to: blockCount, by: 1 << largestOrder) {
            insert(block, order: largestOrder, after: Int(previous[blockCount + largestOrder]))
        }
    }

    /// The first block of a chunk of 2ᵏ blocks; nil when no chunk that large is free.
    mutating func allocate(order: Int) -> Int? {
        var found = order
        while found <= largestOrder, next[blockCount + found] == blockCount + found { found += 1 }
        guard found <= largestOrder else { return nil }
        let block = Int(next[blockCount + found])
        remove(block)
        while found > order {
            found -= 1
            insert(block + (1 << found), order: found, after: blockCount + found)
        }
        return block
    }

    /// Takes the chunk of 2ᵏ blocks that begins at `block`; false if any of them is in use.
    mutating func reserve(_ block: Int, order: Int) -> Bool {
        guard order <= largestOrder,
            let found = (order...largestOrder).first(where: { candidate in
                freeOrder[block & ~(1 << candidate - 1)] == Int8(candidate)
            })
        else { return false }
        remove(block & ~(1 << found - 1))
        // The halves that are not wanted stay free.
        for half in (order..<found).reversed() {
            let buddy = (block & ~(1 << half - 1)) ^ (1 << half)
            insert(buddy, order: half, after: blockCount + half)
        }
        return true
    }

    /// Takes back a chunk, and joins it with its buddy for as long as that is free too.
    ///
    /// - Parameter reuseFirst: whether the next allocation of this size should prefer this chunk, or come to it last.
    mutating func free(_ block: Int, order: Int, reuseFirst: Bool) {
        var block = block
        var order = order
        while order < largestOrder {
            let buddy = block ^ (1 << order)
            guard freeOrder[buddy] == Int8(order) else { break }
            remove(buddy)
            block = min(block, buddy)
            order += 1
        }
        let head = blockCount + order
        insert(block, order: order, after: reuseFirst ? head : Int(previous[head]))
    }

    private mutating func insert(_ block: Int, order: Int, after neighbour: Int) {
        let successor = Int(next[neighbour])
        next[neighbour] = Int32(block)
        previous[block] = Int32(neighbour)
        next[block] = Int32(successor)
        previous[successor] = Int32(block)
        freeOrder[block] = Int8(order)
    }

    private mutating func remove(_ block: Int) {
        let (before, after) = (Int(previous[block]), Int(next[block]))
        next[before] = Int32(after)
        previous[after] = Int32(before)
        freeOrder[block] = Self.noChunk
    }
}
