public import CLinux

/// Bytes on their way to a socket, gathered from where they are: received ones have frame headers between them.
public struct Delivery {
    /// Spans for one system call.
    private static let capacity = 16

    private var spans = InlineArray<16, UnsafeRawBufferPointer>(
        repeating: UnsafeRawBufferPointer(start: nil, count: 0))
    private(set) var spanCount = 0
    public private(set) var byteCount = 0

    var isFull: Bool { spanCount == Delivery.capacity }
    var isEmpty: Bool { byteCount == 0 }

    public init() {}

    public mutating func append(_ span: UnsafeRawBufferPointer) {
        precondition(!isFull, "a delivery holds \(Delivery.capacity) spans")
        spans[spanCount] = span
        spanCount += 1
        byteCount += span.count
    }

    /// Lends the spans as an I/O vector.
    public func withVector<Result>(_ body: (UnsafeBufferPointer<iovec>) -> Result) -> Result {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: Delivery.capacity) { vectors in
            for index in 0..<spanCount {
                let base = UnsafeMutableRawPointer(mutating: spans[index].baseAddress)
                vectors.initializeElement(at: index, to: iovec(iov_base: base, iov_len: spans[index].count))
            }
            return body(UnsafeBufferPointer(rebasing: vectors[..<spanCount]))
        }
    }

    /// Calls `body` with what is left of each span behind the first `count` bytes.
    func forEach(behind count: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
        var skip = count
        for index in 0..<spanCount {
            let span = spans[index]
            if skip < span.count { body(UnsafeRawBufferPointer(rebasing: span[skip...])) }
            skip = max(0, skip - span.count)
        }
    }
}
