import SessionProtocol

/// Gets a call when a timer expires.
public protocol TimerHandler: AnyObject {
    /// `token` is what `schedule` returned; it is used up before the call.
    func timerExpired(_ token: TimerToken, on loop: EventLoop)
}

/// Names one scheduled timer. Stays harmless after the timer has fired or was cancelled.
public struct TimerToken: Hashable, Sendable {
    let index: UInt32
    let generation: UInt32
}

/// A hierarchical timing wheel (Varghese and Lauck 1987, scheme 7) with ticks of 1 ms.
///
/// A timer lives on the lowest level on which its tick and the current one fall into the same revolution, so
/// every slot of a level is later than all slots of the level below: the earliest slot is the first bit set on the
/// first level that has one. A timer moves down at most once per level. Setting and cancelling are O(1).
struct TimerWheel {
    private static let nanosecondsPerTick: UInt64 = 1_000_000
    private static let slotBits: UInt64 = 6
    private static let slotsPerLevel = 1 << 6
    /// 2⁴⁸ ticks: every instant that fits 64 bits of nanoseconds.
    private static let levels = 8
    private static let sentinels = levels * slotsPerLevel

    private struct Node {
        var handler: (any TimerHandler)?
        var tick: UInt64 = 0
        var next: UInt32
        var previous: UInt32
        /// Grows whenever the node is freed, so that old tokens stop matching.
        var generation: UInt32 = 0
        /// The sentinel of the list that holds this node, or `nowhere`.
        var slot: UInt32 = Node.nowhere

        static let nowhere = UInt32.max
    }

    /// One sentinel per slot, each the head of a circular list, then timers.
    private var nodes: ContiguousArray<Node>
    private var occupied = InlineArray<8, UInt64>(repeating: 0)
    private var firstFree = Node.nowhere
    /// Every timer of this tick and earlier ones has been handed out, but for those still in this tick's slot.
    private var current: UInt64

    init(now: Instant) {
        current = now.nanoseconds / Self.nanosecondsPerTick
        nodes = ContiguousArray((0..<UInt32(Self.sentinels)).map { Node(next: $0, previous: $0) })
    }

    /// Adds a timer for the first tick that is not before `deadline`, and always after the current one: a handler
    /// that sets its timer to a moment long past cannot keep the loop in one turn for ever.
    mutating func schedule(_ handler: any TimerHandler, at deadline: Instant) -> TimerToken {
        let (quotient, remainder) = deadline.nanoseconds.quotientAndRemainder(dividingBy: Self.nanosecondsPerTick)
        let index = takeNode()
        nodes[Int(index)].handler = handler
        nodes[Int(index)].tick = max(quotient + (remainder == 0 ? 0 : 1), current + 1)
        link(index)
        return TimerToken(index: index, generation: nodes[Int(index)].generation)
    }

    /// Removes a timer; false when it has already fired or been cancelled.
    @discardableResult
    mutating func cancel(_ token: TimerToken) -> Bool {
        guard Int(token.index) < nodes.count, nodes[Int(token.index)].generation == token.generation,
            nodes[Int(token.index)].slot != Node.nowhere
        else { return false }
        unlink(token.index)
        _ = freeNode(token.index)
        return true
    }

    /// Takes out one timer whose time has come, earlier ones first; nil when there is none at `now`.
    ///
    /// One at a time, because handlers set and cancel timers, those of this same tick among them.
    mutating func popExpired(at now: Instant) -> (handler: any TimerHandler, token: TimerToken)? {
        let nowTick = now.nanoseconds / Self.nanosecondsPerTick
        while let (slot, tick) = earliest(), tick <= nowTick {
            current = tick
            if slot < Self.slotsPerLevel {
                let index = nodes[slot].next
                unlink(index)
                let token = TimerToken(index: index, generation: nodes[Int(index)].generation)
                return (freeNode(index), token)
            }
            moveDown(slot)
        }
        current = max(current, nowTick)
        return nil
    }

    /// When the loop must look again, if nothing else wakes it: the next expiry, or the start of the slot that holds it.
    var nextWake: Instant? {
        earliest().map { Instant(nanoseconds: $0.tick * Self.nanosecondsPerTick) }
    }

    /// The earliest slot in use and the tick at which it begins.
    private func earliest() -> (slot: Int, tick: UInt64)? {
        for level in 0..<Self.levels where occupied[level] != 0 {
            let slot = occupied[level].trailingZeroBitCount
            let shift = UInt64(level) * Self.slotBits
            let revolution = current & ~((1 << (shift + Self.slotBits)) - 1)
            return (level * Self.slotsPerLevel + slot, revolution | UInt64(slot) << shift)
        }
        return nil
    }

    /// Moves the timers of a slot that has just begun to lower levels.
    private mutating func moveDown(_ slot: Int) {
        while nodes[slot].next != UInt32(slot) {
            let index = nodes[slot].next
            unlink(index)
            link(index)
        }
    }

    private mutating func link(_ index: UInt32) {
        let tick = nodes[Int(index)].tick
        let highestDifference = 63 - (tick ^ current | 1).leadingZeroBitCount
        let level = highestDifference / Int(Self.slotBits)
        let position = Int(tick >> (UInt64(level) * Self.slotBits)) & (Self.slotsPerLevel - 1)
        let slot = level * Self.slotsPerLevel + position
        let last = nodes[slot].previous
        nodes[Int(index)].slot = UInt32(slot)
        nodes[Int(index)].next = UInt32(slot)
        nodes[Int(index)].previous = last
        nodes[Int(last)].next = index
        nodes[slot].previous = index
        occupied[level] |= 1 << UInt64(position)
    }

    private mutating func unlink(_ index: UInt32) {
        let node = nodes[Int(index)]
        nodes[Int(node.previous)].next = node.next
        nodes[Int(node.next)].previous = node.previous
        nodes[Int(index)].slot = Node.nowhere
        if node.next == node.previous, node.next == node.slot {
            occupied[Int(node.slot) / Self.slotsPerLevel] &= ~(1 << UInt64(Int(node.slot) % Self.slotsPerLevel))
        }
    }

    private mutating func takeNode() -> UInt32 {
        if firstFree == Node.nowhere {
            nodes.append(Node(next: 0, previous: 0))
            return UInt32(nodes.count - 1)
        }
        let index = firstFree
        firstFree = nodes[Int(index)].next
        return index
    }

    private mutating func freeNode(_ index: UInt32) -> any TimerHandler {
        let handler = nodes[Int(index)].handler.take()!
        nodes[Int(index)].generation &+= 1
        nodes[Int(index)].next = firstFree
        firstFree = index
        return handler
    }
}
