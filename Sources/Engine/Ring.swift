public import CLinux

/// The bytes of one direction of a session that lie between two positions, in a slot of an arena. The byte at position p lies
/// at p modulo the slot's size, so that place and size of the slot and the two positions are all that a successor
/// process needs.
///
/// A ring that was never used, or was trimmed while empty, holds no slot.
public struct Ring: ~Copyable {
    /// Position of the first byte held.
    public private(set) var base: UInt64
    /// Position after the last byte held in order.
    public private(set) var end: UInt64
    /// Position after the last byte placed; at least `end`.
    private var reach: UInt64
    /// Bytes that the present slot can hold; 0 without one.
    public private(set) var capacity = 0
    /// The largest slot that the ring may have, in bytes. Lowering it does not shrink a slot that is larger.
    public var maximum: Int

    private let arena: Arena
    /// What it may hold was taken from the budget when it was promised to the peer.
    private let isPaidFor: Bool
    private var slot: ArenaSlot?
    /// The slot's first byte; meaningless while `capacity` is 0.
    private var memory: UnsafeMutableRawPointer

    /// An empty ring whose first byte will have the position `base`.
    public init(arena: Arena, base: UInt64 = 0, maximum: Int, isPaidFor: Bool = false) {
        self.arena = arena
        self.isPaidFor = isPaidFor
        self.base = base
        end = base
        reach = base
        self.maximum = maximum
        memory = arena.base
    }

    /// A ring whose slot a dead process has left. What is not below `end` and within the slot was never received.
    public init(arena: Arena, adopting slot: consuming ArenaSlot, base: UInt64, end: UInt64, maximum: Int) {
        precondition(base <= end && end - base <= UInt64(slot.size), "more bytes than the slot can hold")
        self.arena = arena
        isPaidFor = false
        self.base = base
        self.end = end
        reach = end
        self.maximum = maximum
        memory = slot.base
        capacity = slot.size
        self.slot = consume slot
    }

    /// Where the slot begins in its arena; 0 without one.
    public var slotOffset: Int { capacity > 0 ? memory - arena.base : 0 }
    /// Bytes held.
    @inlinable public var count: Int { Int(truncatingIfNeeded: end &- base) }
    @inlinable public var isEmpty: Bool { end == base }
    /// Bytes that can be added without a larger slot.
    @inlinable public var freeSpace: Int { capacity - count }
    /// Bytes that could be held beyond the present ones if the slot grew to the maximum, arena permitting.
    @inlinable public var possibleSpace: Int { max(maximum, capacity) - count }

    // MARK: - Filling

    /// Lends the free space after the last byte, at most `limit` bytes of it, in two pieces where it wraps. What `body`
    /// fills becomes part of the ring with `commit`. Gets the ring its first slot if need be.
    ///
    /// - Returns: nil, without a call, when there is no free space or no slot to be had.
    public mutating func withFree<Result, Failure: Error>(
        atMost limit: Int = .max, _ body: (iovec, iovec?) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        if capacity == 0, !grow(to: 1) { return nil }
        let length = min(limit, freeSpace)
        guard length > 0 else { return nil }
        let start = offset(of: end)
        let first = min(length, capacity - start)
        return try body(
            iovec(iov_base: memory + start, iov_len: first),
            first == length ? nil : iovec(iov_base: memory, iov_len: length - first))
    }

    /// Adds the next `count` bytes of the free space, now filled, to the ring.
    public mutating func commit(_ count: Int) {
        precondition(count >= 0 && count <= freeSpace, "committed more than was free")
        end += UInt64(count)
        reach = max(reach, end)
    }

    /// Copies bytes to the end, as many as fit; the slot grows for them up to the maximum.
    ///
    /// - Returns: bytes taken; fewer than given when the maximum or the arena's limit is reached.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int {
        if bytes.count > freeSpace { grow(to: min(max(count + bytes.count, Int(reach - base)), maximum)) }
        let length = min(bytes.count, freeSpace)
        guard length > 0, let source = bytes.baseAddress else { return 0 }
        copyIn(source, length, at: end)
        end += UInt64(length)
        reach = max(reach, end)
        return length
    }

    /// Keeps bytes at a position beyond the end, until `extend` makes them part of the ring.
    ///
    /// - Returns: false when they do not fit.
    public mutating func place(_ bytes: UnsafeRawBufferPointer, at position: UInt64) -> Bool {
        precondition(position >= end, "bytes in order are appended")
        guard let source = bytes.baseAddress else { return true }
        let needed = Int(max(position + UInt64(bytes.count), reach) - base)
        guard grow(to: needed) else { return false }
        copyIn(source, bytes.count, at: position)
        reach = max(reach, position + UInt64(bytes.count))
        return true
    }

    /// Makes placed bytes up to `position` part of the ring.
    public mutating func extend(to position: UInt64) {
        precondition(position >= end && position <= reach, "bytes that were never placed")
        end = position
    }

    /// An empty ring goes on at a later position; what was placed behind it stays.
    public mutating func advance(to position: UInt64) {
        precondition(isEmpty && position >= end, "an advance over bytes that are held")
        base = position
        end = position
        reach = max(reach, position)
    }

    /// Moves the bytes to a slot of at least `bytes`, unless the present one is as large.
    ///
    /// - Parameter publish: told the new place, by its offset and size, when it has all bytes and before the old one is
    ///   freed, so that whoever looks for the ring finds its bytes at any instant.
    /// - Returns: false when that is above the maximum, or no such slot is free; the ring is as it was.
    @discardableResult
    public mutating func grow(to bytes: Int, publish: (_ offset: Int, _ size: Int) -> Void = { _, _ in }) -> Bool {
        if bytes <= capacity { return true }
        guard bytes <= maximum, let larger = arena.allocate(bytes: bytes, isPaidFor: isPaidFor) else { return false }
        let (old, oldCapacity) = (memory, capacity)
        memory = larger.base
        capacity = larger.size
        if reach > base {
            let start = Int(truncatingIfNeeded: base) & (oldCapacity - 1)
            let all = Int(reach - base)
            let first = min(all, oldCapacity - start)
            copyIn(old + start, first, at: base)
            if all > first { copyIn(old, all - first, at: base + UInt64(first)) }
        }
        publish(larger.offset, larger.size)
        slot = consume larger
        return true
    }

    // MARK: - Taking

    /// The bytes at the given positions, in two pieces where they wrap. Valid until the ring next changes.
    public func spans(of range: Range<UInt64>) -> (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) {
        precondition(range.lowerBound >= base && range.upperBound <= end, "positions outside the ring")
        guard !range.isEmpty else { return (UnsafeRawBufferPointer(start: nil, count: 0), nil) }
        let length = Int(range.upperBound - range.lowerBound)
        let start = offset(of: range.lowerBound)
        let first = min(length, capacity - start)
        return (
            UnsafeRawBufferPointer(start: memory + start, count: first),
            first == length ? nil : UnsafeRawBufferPointer(start: memory, count: length - first)
        )
    }

    /// Drops the bytes before `position`. Keeps the slot; see `trim`.
    public mutating func release(below position: UInt64) {
        precondition(position <= end, "released bytes that the ring never held")
        if position > base { base = position }
    }

    /// Drops everything, also what was placed.
    public mutating func removeAll() {
        base = reach
        end = reach
    }

    /// Gives the slot back when the ring is empty. For sessions that have come to rest: the next byte needs a new one.
    ///
    /// - Parameter publish: called before the slot is free for others.
    public mutating func trim(publish: () -> Void = {}) {
        guard isEmpty, reach == end, capacity > 0 else { return }
        publish()
        slot = nil
        capacity = 0
    }

    // MARK: -

    private func offset(of position: UInt64) -> Int { Int(truncatingIfNeeded: position) & (capacity - 1) }

    private func copyIn(_ source: UnsafeRawPointer, _ length: Int, at position: UInt64) {
        let start = offset(of: position)
        let first = min(length, capacity - start)
        (memory + start).copyMemory(from: source, byteCount: first)
        if first < length { memory.copyMemory(from: source + first, byteCount: length - first) }
    }
}
