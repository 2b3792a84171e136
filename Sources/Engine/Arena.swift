import CLinux
import Kernel
public import SystemPackage

/// The sizes of an arena, in bytes. Slots are powers of two.
public struct ArenaLimits: Hashable, Sendable {
    /// All slots together never exceed this. Rounded down to whole slots of the largest size.
    public let capacity: Int
    public let smallestSlot: Int
    public let largestSlot: Int
    /// Freed memory that is kept for the next slots instead of being given back to the kernel.
    public let retained: Int

    /// Sizes that are no power of two are rounded down to one, and the largest slot never exceeds the capacity.
    public init(
        capacity: Int, smallestSlot: Int = 64 << 10, largestSlot: Int = 16 << 20, retained: Int = 16 << 20
    ) {
        let smallest = Self.powerOfTwo(notAbove: max(smallestSlot, 4096))
        let largest = max(smallest, Self.powerOfTwo(notAbove: min(largestSlot, capacity)))
        self.smallestSlot = smallest
        self.largestSlot = largest
        self.capacity = max(largest, capacity / largest * largest)
        self.retained = retained
    }

    private static func powerOfTwo(notAbove size: Int) -> Int { 1 << (Int.bitWidth - 1 - size.leadingZeroBitCount) }
}

/// Memory for the rings of one loop: a memfd, mapped once and filled as it is used, so that a successor process can map the
/// same bytes. One mapping per ring would meet `vm.max_map_count` at about 32,000 sessions.
public final class Arena {
    public let limits: ArenaLimits
    /// What this arena's slots, and those of the process's other arenas, are taken from.
    public let budget: MemoryBudget
    /// What the process calls the arena where it tells a successor of places in it.
    public var label: UInt64 = 0
    /// The memory file. For escrow; the arena keeps it.
    public var memoryFile: Int32 { file.number }
    /// Bytes of all slots that are handed out.
    public private(set) var bytesInUse = 0

    private let file: Descriptor
    /// Slots that a dead process has left in use, by their offset, until `adopt` or `releaseUnclaimed`.
    private var unclaimed: [Int: Int] = [:]
    /// The first byte of the mapping.
    let base: UnsafeMutableRawPointer
    private var buddies: BuddyAllocator
    /// By block of the smallest slot's size: whether the kernel may have pages for it.
    private var isResident: ContiguousArray<Bool>
    private var retainedBlocks = 0

    /// An empty arena.
    ///
    /// - Parameter budget: shared with other arenas; without one, the arena has its capacity for itself.
    public convenience init(limits: ArenaLimits, budget: MemoryBudget? = nil) throws(Errno) {
        let file = Descriptor(owning: try check(usl_memfd_create("usl-arena", UInt32(MFD_CLOEXEC))))
        try check(ftruncate(file.number, limits.capacity))
        try self.init(limits, budget, mapping: file)
    }

    /// The arena that a dead process has left in a memory file, which keeps its size whatever `limits` say.
    ///
    /// - Parameter places: slots that were in use: nobody else gets them until `adopt` hands them out or
    ///   `releaseUnclaimed` frees them. One that cannot be, since it lies outside or over another, is left out.
    public convenience init(
        adopting file: consuming Descriptor, limits: ArenaLimits, budget: MemoryBudget? = nil,
        places: [(offset: Int, size: Int)]
    ) throws(Errno) {
        var status = stat()
        try check(fstat(file.number, &status))
        let capacity = Int(status.st_size)
        let sizes = ArenaLimits(
            capacity: capacity, smallestSlot: limits.smallestSlot, largestSlot: limits.largestSlot,
            retained: limits.retained)
        guard capacity > 0, sizes.capacity == capacity else { throw .invalidArgument }
        try self.init(sizes, budget, mapping: file)
        for place in places { reserve(offset: place.offset, size: place.size) }
        giveBackTheRest()
    }

    private init(_ limits: ArenaLimits, _ budget: MemoryBudget?, mapping file: consuming Descriptor) throws(Errno) {
        self.limits = limits
        self.budget = budget ?? MemoryBudget(limit: limits.capacity)
        let mapping = mmap(
            nil, limits.capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.number, 0)
        guard let mapping, mapping != usl_map_failed() else { throw Errno(rawValue: usl_errno()) }
        self.file = file
        base = mapping
        // What applications say to each other does not belong in a core dump.
        _ = madvise(base, limits.capacity, MADV_DONTDUMP)
        let blockCount = limits.capacity / limits.smallestSlot
        let largestOrder = (limits.largestSlot / limits.smallestSlot).trailingZeroBitCount
        buddies = BuddyAllocator(blockCount: blockCount, largestOrder: largestOrder)
        isResident = ContiguousArray(repeating: false, count: blockCount)
    }

    deinit { munmap(base, limits.capacity) }

    /// A slot of at least `bytes`; nil when that is more than the largest slot, or the arena or the budget is used up.
    ///
    /// - Parameter isPaidFor: whether a promise has taken the bytes from the budget already.
    public func allocate(bytes: Int, isPaidFor: Bool = false) -> ArenaSlot? {
        guard bytes <= limits.largestSlot else { return nil }
        let order = order(of: max(bytes, 1))
        let cost = isPaidFor ? 0 : limits.smallestSlot << order
        guard budget.take(cost) else { return nil }
        guard let block = buddies.allocate(order: order) else {
            budget.giveBack(cost)
            return nil
        }
        for index in block..<block + (1 << order) {
            if isResident[index] { retainedBlocks -= 1 }
            isResident[index] = true
        }
        let size = limits.smallestSlot << order
        bytesInUse += size
        return ArenaSlot(
            arena: self, base: base + block * limits.smallestSlot, offset: block * limits.smallestSlot, size: size,
            cost: cost)
    }

    // MARK: - What a dead process has left

    private func reserve(offset: Int, size: Int) {
        guard offset >= 0, size >= limits.smallestSlot, size <= limits.largestSlot, size & (size - 1) == 0,
            offset % size == 0, offset + size <= limits.capacity,
            buddies.reserve(offset / limits.smallestSlot, order: order(of: size))
        else { return }
        for index in offset / limits.smallestSlot..<(offset + size) / limits.smallestSlot { isResident[index] = true }
        bytesInUse += size
        budget.takeOver(size)
        unclaimed[offset] = size
    }

    /// The owner of a slot that was left in use; nil if it was not, or has been handed out.
    public func adopt(offset: Int, size: Int) -> ArenaSlot? {
        guard unclaimed[offset] == size else { return nil }
        unclaimed[offset] = nil
        return ArenaSlot(arena: self, base: base + offset, offset: offset, size: size, cost: size)
    }

    /// Frees the slots that were left in use and that nobody has adopted.
    public func releaseUnclaimed() {
        let rest = unclaimed
        unclaimed = [:]
        for (offset, size) in rest { free(offset: offset, size: size, cost: size) }
    }

    /// Pages that the dead process kept for its next slots go back to the kernel.
    private func giveBackTheRest() {
        var end = 0
        for (offset, size) in unclaimed.sorted(by: { $0.key < $1.key }) {
            punch(end..<offset)
            end = offset + size
        }
        punch(end..<limits.capacity)
    }

    @discardableResult
    private func punch(_ range: Range<Int>) -> Bool {
        let mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        return range.isEmpty || fallocate(file.number, mode, range.lowerBound, range.count) == 0
    }

    /// Frees a slot. Its memory goes back to the kernel once enough is retained: the next ring should not have to fault in
    /// pages that the last one has only just given up.
    fileprivate func free(offset: Int, size: Int, cost: Int) {
        budget.giveBack(cost)
        let order = order(of: size)
        let blocks = offset / limits.smallestSlot..<(offset + size) / limits.smallestSlot
        bytesInUse -= size
        let retains = (retainedBlocks + blocks.count) * limits.smallestSlot <= limits.retained
        if retains {
            retainedBlocks += blocks.count
        } else if punch(offset..<offset + size) {
            for index in blocks { isResident[index] = false }
        } else {
            // The kernel had no memory to give memory back. The pages stay until the slot is used and freed again.
            retainedBlocks += blocks.count
        }
        buddies.free(blocks.lowerBound, order: order, reuseFirst: retains)
    }

    /// The order of the smallest slot that holds `bytes`.
    private func order(of bytes: Int) -> Int {
        let blocks = (bytes + limits.smallestSlot - 1) / limits.smallestSlot
        return Int.bitWidth - (blocks - 1).leadingZeroBitCount
    }
}

/// Sole owner of a piece of an arena, which is freed when the owner ends.
public struct ArenaSlot: ~Copyable {
    private let arena: Arena
    /// The first byte, aligned to a page.
    public let base: UnsafeMutableRawPointer
    /// Where the slot begins in the arena's memory file.
    public let offset: Int
    /// Bytes; a power of two.
    public let size: Int
    /// Bytes that it has taken from the budget.
    private let cost: Int

    fileprivate init(arena: Arena, base: UnsafeMutableRawPointer, offset: Int, size: Int, cost: Int) {
        self.arena = arena
        self.base = base
        self.offset = offset
        self.size = size
        self.cost = cost
    }

    deinit { arena.free(offset: offset, size: size, cost: cost) }
}
