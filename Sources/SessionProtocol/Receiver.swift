/// One direction of a session, as its receiver counts it: delivered ≤ received ≤ promised.
///
/// The bytes [delivered, received) are with the driver, on their way to the application's leg; so is what came early.
struct Receiver: Sendable {
    /// Acknowledge at once when this much is unacknowledged, or a quarter of the window.
    static let ackThreshold: UInt64 = 64 * 1024
    /// Acknowledge this long after the first unacknowledged byte.
    static let ackDelay = Interval.milliseconds(20)
    /// A window that is used up faster than this is too small for the path, and doubles.
    static let windowGrowthPeriod = Interval.milliseconds(200)

    /// Contiguous bytes (and FIN) that this end holds or has delivered.
    private(set) var received: Position = 0
    /// Bytes (and FIN) that the leg has taken: what `ack` says.
    private(set) var delivered: Position = 0
    /// What came before those that precede it, which another link carries.
    private(set) var early = PositionRanges()
    /// Where the direction ends, once FIN and everything before it has come.
    private(set) var finPosition: Position?
    /// Where it will end: FIN came early.
    private var earlyFin: Position?
    /// The highest position that the peer was ever allowed to send below; never retreats.
    private(set) var promised: Position = Wire.initialWindow

    private var capacity: UInt64
    private var maximumCapacity: UInt64
    private var growthStart: (instant: Instant, delivered: Position)?
    /// What the last frame that left has acknowledged.
    private(set) var announced: Position = 0
    private(set) var mustAcknowledge = false

    init(window: UInt64, maximumWindow: UInt64) {
        capacity = min(max(window, Wire.initialWindow), Wire.maximumWindow)
        maximumCapacity = min(max(maximumWindow, capacity), Wire.maximumWindow)
    }

    /// What a process that has died leaves behind: what its leg had taken. The rest was never acknowledged.
    init(delivered: Position, isFinished: Bool, window: UInt64, maximumWindow: UInt64) {
        self.init(window: window, maximumWindow: maximumWindow)
        if isFinished { finPosition = delivered }
        self.delivered = isFinished ? delivered + 1 : delivered
        received = self.delivered
        announced = self.delivered
        promised = delivered
    }

    var window: UInt64 { capacity }

    /// Space promised to the peer beyond what the leg has taken.
    var promisedSpace: UInt64 { promised - min(promised, delivered) }

    /// From now on the window grows to at most this. What was promised stays promised.
    mutating func limitWindow(to maximum: UInt64) {
        maximumCapacity = min(max(maximum, Wire.initialWindow), Wire.maximumWindow)
        capacity = min(capacity, maximumCapacity)
    }

    var isDone: Bool { finPosition.map { delivered == $0 + 1 } ?? false }
    /// FIN is next: every byte before it is in the leg.
    var finIsDue: Bool { finPosition.map { delivered == $0 } ?? false }
    var hasUnannounced: Bool { announced < delivered }

    enum Admission: Equatable {
        /// The bytes from this offset of the piece on are new and in order.
        case new(skip: Int)
        /// Bytes are missing before these, which are counted as held.
        case early
        case duplicate
        /// Beyond the window or beyond FIN.
        case violation
    }

    /// Judges bytes that arrived at `position`, and counts the new ones as received.
    mutating func admit(_ count: Int, at position: Position) -> Admission {
        let (end, overflow) = position.addingReportingOverflow(UInt64(count))
        guard !overflow, end <= promised else { return .violation }
        if let fin = finPosition ?? earlyFin, end > fin { return .violation }
        guard end > received else { return .duplicate }
        guard position <= received else {
            early.insert(position..<end)
            return .early
        }
        let skip = Int(received - position)
        received = end
        closeGap()
        return .new(skip: skip)
    }

    mutating func admitFin(at position: Position) -> Admission {
        if let fin = finPosition ?? earlyFin, fin != position { return .violation }
        guard finPosition == nil else { return .duplicate }
        guard position >= (early.last?.upperBound ?? received) else { return .violation }
        earlyFin = position
        guard position == received else { return .early }
        closeGap()
        return .new(skip: 0)
    }

    /// What came early and is in order now is received.
    private mutating func closeGap() {
        while let first = early.first, first.lowerBound <= received {
            received = max(received, first.upperBound)
            early.removeBelow(received)
        }
        if earlyFin == received {
            finPosition = received
            earlyFin = nil
            received += 1
        }
    }

    /// The leg took `count` more bytes.
    mutating func deliver(_ count: Int, _ now: Instant) {
        delivered += UInt64(count)
        precondition(delivered <= (finPosition ?? received), "delivered what was never received")
        growWindow(now)
        if delivered - announced >= min(Receiver.ackThreshold, capacity / 4) { mustAcknowledge = true }
    }

    /// The leg's writing side is shut: FIN is delivered.
    mutating func deliverFin() {
        precondition(finIsDue, "FIN before the bytes that precede it")
        delivered += 1
        mustAcknowledge = true
    }

    /// Something that the peer waits for must be acknowledged with the next frame.
    mutating func requestAcknowledgement() { mustAcknowledge = true }

    /// The window field for a frame that leaves now on a link where the peer will read it.
    mutating func announce() -> UInt16 {
        announced = delivered
        mustAcknowledge = false
        return promise()
    }

    /// The window field for a claim. Nobody may ever read a claim, or the wrong one: whoever replays an old ATTACH is
    /// told the window too. So whatever the peer has yet to be told is still to be told.
    mutating func promise() -> UInt16 {
        promised = max(promised, delivered + capacity / Wire.windowUnit * Wire.windowUnit)
        return UInt16(min((promised - delivered) / Wire.windowUnit, UInt64(UInt16.max)))
    }

    private mutating func growWindow(_ now: Instant) {
        guard let start = growthStart, now - start.instant < Receiver.windowGrowthPeriod else {
            growthStart = (now, delivered)
            return
        }
        guard delivered - start.delivered >= capacity, capacity < maximumCapacity else { return }
        capacity = min(capacity * 2, maximumCapacity)
        growthStart = (now, delivered)
    }
}
