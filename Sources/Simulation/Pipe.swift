import SessionProtocol

/// One direction of a connection.
struct Pipe {
    enum Piece {
        case bytes([UInt8])
        /// The writer has closed its end, or shut it.
        case end(LinkFailure)
    }

    /// Pieces under way, with `first` the next to arrive.
    private var pieces: [Piece] = []
    private var first = 0
    private(set) var inFlight = 0
    /// Nothing overtakes: the next piece arrives no earlier.
    private(set) var lastArrival: Instant
    /// What is under way stays where it is until then.
    var heldUntil: Instant
    /// What is written from now on arrives nowhere, and the ends will learn so.
    var isCut = false
    /// Nothing arrives any more, and nobody is told: a NAT has forgotten the connection, or its address is gone.
    var isForgotten = false
    /// The writer has shut it.
    var isShut = false
    /// The writer waits for room.
    var isFull = false
    /// The pipe is cut when it has carried this many more bytes.
    var budget: Int?
    /// What the writer's kernel knows of it.
    var counters: TransportCounters
    /// Set while what should have arrived has not.
    var stall: Stall?
    /// Arrivals that wait for room at a process that does not read.
    var choked = 0

    struct Stall {
        let since: Instant
        /// When the writer's kernel sends again behind the end of the silence.
        var resumesAt: Instant
    }

    init(_ now: Instant) {
        lastArrival = now
        heldUntil = now
        counters = TransportCounters(now)
    }

    /// - Returns: when the piece arrives: at `due`, but not before those that are under way.
    mutating func append(_ piece: Piece, _ due: Instant) -> Instant {
        pieces.append(piece)
        if case .bytes(let bytes) = piece { inFlight += bytes.count }
        lastArrival = max(lastArrival, due)
        return lastArrival
    }

    /// What arrives next is an end, not bytes.
    var endsNext: Bool { if case .end = pieces[first] { true } else { false } }

    mutating func takeFirst() -> Piece {
        let piece = pieces[first]
        first += 1
        if case .bytes(let bytes) = piece { inFlight -= bytes.count }
        if first == pieces.count {
            pieces.removeAll(keepingCapacity: true)
            first = 0
        }
        return piece
    }

    /// Loses everything under way but the first `kept` bytes. The arrivals stay, of nothing.
    mutating func truncate(to kept: Int) {
        var left = kept
        for index in first..<pieces.count {
            guard case .bytes(let bytes) = pieces[index] else { continue }
            let count = min(left, bytes.count)
            pieces[index] = .bytes(Array(bytes.prefix(count)))
            left -= count
        }
        inFlight = kept - left
    }
}
