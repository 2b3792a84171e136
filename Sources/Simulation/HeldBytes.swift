import SessionProtocol

/// Received bytes that the leg has not taken: those that are next, and those that came early, each at its position.
struct HeldBytes {
    private var next = ByteQueue()
    /// In the order of their positions.
    private var early: [(start: Position, bytes: ArraySlice<UInt8>)] = []

    /// Bytes that the leg may take now.
    var count: Int { next.count }
    var isEmpty: Bool { next.isEmpty }
    var content: ArraySlice<UInt8> { next.content }
    var earlyCount: Int { early.reduce(0) { $0 + $1.bytes.count } }

    mutating func append(_ bytes: ArraySlice<UInt8>) { next.append(bytes) }

    mutating func store(_ bytes: ArraySlice<UInt8>, at start: Position) {
        let index = early.firstIndex { $0.start > start } ?? early.endIndex
        early.insert((start, bytes), at: index)
    }

    /// The next byte to come has position `end`: what was early and touches it is not early any more.
    ///
    /// - Returns: the position behind all bytes that are next now.
    mutating func join(at end: Position) -> Position {
        var end = end
        while let first = early.first, first.start <= end {
            early.removeFirst()
            let skipped = Int(min(end - first.start, UInt64(first.bytes.count)))
            next.append(first.bytes.dropFirst(skipped))
            end += UInt64(first.bytes.count - skipped)
        }
        return end
    }

    mutating func removeFirst(_ count: Int) { next.removeFirst(count) }

    mutating func removeAll() {
        next.removeAll()
        early.removeAll()
    }
}
