/// Bytes that are added behind and removed in front.
struct ByteQueue {
    private var storage: [UInt8] = []
    private var start = 0

    var count: Int { storage.count - start }
    var isEmpty: Bool { count == 0 }
    var content: ArraySlice<UInt8> { storage[start...] }

    mutating func append(_ bytes: some Collection<UInt8>) { storage.append(contentsOf: bytes) }

    mutating func removeFirst(_ count: Int) {
        start += count
        if start == storage.count {
            storage.removeAll(keepingCapacity: true)
            start = 0
        }
    }

    mutating func removeAll() { removeFirst(count) }
}
