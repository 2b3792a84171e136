/// A set of positions as sorted, disjoint, non-adjacent ranges. Nearly always one range long.
struct PositionRanges: Equatable, Sendable {
    private(set) var ranges: [Range<Position>] = []

    var isEmpty: Bool { ranges.isEmpty }
    var first: Range<Position>? { ranges.first }
    var last: Range<Position>? { ranges.last }

    /// Adds a range. Appending behind the last one, the only case while nothing is lost, costs O(1).
    mutating func insert(_ range: Range<Position>) {
        guard !range.isEmpty else { return }
        if let last = ranges.last, last.upperBound == range.lowerBound {
            ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
            return
        }
        var merged = range
        var before = 0
        while before < ranges.count, ranges[before].upperBound < range.lowerBound { before += 1 }
        var after = before
        while after < ranges.count, ranges[after].lowerBound <= range.upperBound {
            merged =
                min(merged.lowerBound, ranges[after].lowerBound)..<max(merged.upperBound, ranges[after].upperBound)
            after += 1
        }
        ranges.replaceSubrange(before..<after, with: CollectionOfOne(merged))
    }

    mutating func insert(_ other: PositionRanges) {
        for range in other.ranges { insert(range) }
    }

    mutating func remove(_ other: PositionRanges) {
        for range in other.ranges { remove(range) }
    }

    mutating func remove(_ range: Range<Position>) {
        guard !range.isEmpty else { return }
        var index = 0
        while index < ranges.count {
            let current = ranges[index]
            guard current.overlaps(range) else {
                index += 1
                continue
            }
            let left = current.lowerBound..<max(current.lowerBound, min(current.upperBound, range.lowerBound))
            let right = min(current.upperBound, max(current.lowerBound, range.upperBound))..<current.upperBound
            switch (left.isEmpty, right.isEmpty) {
            case (true, true): ranges.remove(at: index)
            case (false, true):
                ranges[index] = left
                index += 1
            case (true, false):
                ranges[index] = right
                index += 1
            case (false, false):
                ranges[index] = left
                ranges.insert(right, at: index + 1)
                index += 2
            }
        }
    }

    /// Forgets everything below `position`.
    mutating func removeBelow(_ position: Position) {
        while let first = ranges.first, first.lowerBound < position {
            if first.upperBound <= position {
                ranges.removeFirst()
            } else {
                ranges[0] = position..<first.upperBound
            }
        }
    }
}
