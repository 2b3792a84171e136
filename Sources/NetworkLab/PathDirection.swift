/// One direction of a path: which packets vanish, and when the others leave. Does no I/O; time comes in as a parameter,
/// in nanoseconds, and chance from a seed.
struct PathDirection {
    /// A packet, by the buffer that it lies in.
    struct Packet: Equatable {
        var buffer: Int32
        var length: Int32
    }

    /// What became of the packets so far.
    struct Counts: Equatable {
        var passed = 0
        /// To silence, loss and size.
        var lost = 0
        /// Because the queue of the rate was full, or there was no buffer left.
        var overflowed = 0
    }

    /// What is to be done with a packet that has come.
    enum Fate: Equatable {
        case drop
        case keep
        /// Keep it, and also put a copy of it in.
        case double
    }

    private struct Waiting {
        var due: UInt64
        /// Among packets that are due at the same time, who came first leaves first.
        var number: UInt64
        var packet: Packet
    }

    var faults: PathFaults {
        didSet { adopt() }
    }
    var counts = Counts()

    private var chance: LabChance
    // In units that cost nothing per packet.
    private var nanosecondsPerByte = 0.0
    private var delay: UInt64 = 0
    private var jitter: UInt64 = 0
    private var reorderingDelay: UInt64 = 0

    /// Packets that wait for their turn at the rate; the first `taken` have had it.
    private var queue: [Packet] = []
    private var taken = 0
    private var queuedBytes = 0
    /// When the packet that is being sent at the rate has left.
    private var busyUntil: UInt64 = 0
    /// Packets under way, as a binary heap by when they are due.
    private var underWay: [Waiting] = []
    private var sent: UInt64 = 0
    /// Jitter does not let a packet overtake the one before it.
    private var lastDue: UInt64 = 0

    init(faults: PathFaults = .none, seed: UInt64) {
        self.faults = faults
        chance = LabChance(seed: seed)
        adopt()
    }

    private mutating func adopt() {
        nanosecondsPerByte = faults.rate.map { 8e9 / Double($0.bitsPerSecond) } ?? 0
        delay = UInt64(faults.delay.nanoseconds)
        jitter = UInt64(faults.jitter.nanoseconds)
        reorderingDelay = UInt64(faults.reorderingDelay.nanoseconds)
    }

    /// Nothing waits, and what comes can leave at once.
    var isTransparent: Bool { underWay.isEmpty && taken == queue.count && faults == .none }

    /// Decides on a packet. `size` is that of the IP packet.
    mutating func fate(size: Int) -> Fate {
        if faults.isSilent || faults.largestPacket.map({ size > $0 }) == true || chance.happens(faults.loss) {
            counts.lost += 1
            return .drop
        }
        return chance.happens(faults.duplication) ? .double : .keep
    }

    /// Takes a packet in that no fault concerns.
    mutating func pass(_ packet: Packet, now: UInt64) {
        sent += 1
        insert(Waiting(due: now, number: sent, packet: packet))
    }

    /// Takes a packet in.
    ///
    /// - Returns: whether there was room for it.
    mutating func take(_ packet: Packet, now: UInt64) -> Bool {
        guard nanosecondsPerByte > 0 || taken < queue.count else {
            send(packet, at: now)
            return true
        }
        guard queuedBytes + Int(packet.length) <= faults.queueBytes else {
            counts.overflowed += 1
            return false
        }
        if taken == queue.count { busyUntil = max(busyUntil, now) }
        queue.append(packet)
        queuedBytes += Int(packet.length)
        return true
    }

    /// When there will be something to do; nil for never.
    var next: UInt64? {
        let turn = taken < queue.count ? busyUntil : nil
        return [turn, underWay.first?.due].compactMap(\.self).min()
    }

    /// The next packet that has arrived by now.
    mutating func arrival(now: UInt64) -> Packet? {
        while taken < queue.count, busyUntil <= now {
            let packet = queue[taken]
            taken += 1
            queuedBytes -= Int(packet.length)
            busyUntil += UInt64(Double(packet.length) * nanosecondsPerByte)
            send(packet, at: busyUntil)
        }
        if taken > 1024, taken * 2 > queue.count {
            queue.removeFirst(taken)
            taken = 0
        }
        guard let first = underWay.first, first.due <= now else { return nil }
        removeFirst()
        counts.passed += 1
        return first.packet
    }

    private mutating func send(_ packet: Packet, at time: UInt64) {
        sent += 1
        var due = time + delay
        if jitter > 0 { due += chance.next() % (jitter + 1) }
        if chance.happens(faults.reordering) {
            due += reorderingDelay
        } else {
            due = max(due, lastDue)
            lastDue = due
        }
        insert(Waiting(due: due, number: sent, packet: packet))
    }

    // MARK: - The heap

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        (underWay[a].due, underWay[a].number) < (underWay[b].due, underWay[b].number)
    }

    private mutating func insert(_ waiting: Waiting) {
        underWay.append(waiting)
        var index = underWay.count - 1
        while index > 0, isBefore(index, (index - 1) / 2) {
            underWay.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func removeFirst() {
        underWay.swapAt(0, underWay.count - 1)
        underWay.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < underWay.count && isBefore(child, least) {
                least = child
            }
            if least == index { return }
            underWay.swapAt(index, least)
            index = least
        }
    }
}
