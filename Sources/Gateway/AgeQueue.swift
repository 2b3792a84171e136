import DequeModule

/// Keys in the order in which they came, from whose middle any can be taken; all in constant time, on average.
struct AgeQueue<Key: Hashable> {
    private struct Entry {
        let key: Key
        let stamp: UInt64
    }

    /// With entries of keys that have gone, or have gone and come again: their stamp is not the key's.
    private var entries: Deque<Entry> = []
    private var stamps: [Key: UInt64] = [:]
    private var lastStamp: UInt64 = 0

    var count: Int { stamps.count }
    var isEmpty: Bool { stamps.isEmpty }

    /// The key that has been here longest.
    var oldest: Key? { entries.first?.key }

    /// - Parameter key: not here yet.
    mutating func append(_ key: Key) {
        lastStamp += 1
        stamps[key] = lastStamp
        entries.append(Entry(key: key, stamp: lastStamp))
    }

    mutating func remove(_ key: Key) {
        stamps[key] = nil
        while let first = entries.first, !isHere(first) { entries.removeFirst() }
        if entries.count > 2 * stamps.count + 16 { entries.removeAll { [stamps] in stamps[$0.key] != $0.stamp } }
    }

    private func isHere(_ entry: Entry) -> Bool { stamps[entry.key] == entry.stamp }
}
