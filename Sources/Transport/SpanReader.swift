import CLinux

/// Cuts spans into pieces of a TLS record each.
struct SpanReader {
    private let spans: UnsafeBufferPointer<iovec>
    private var index = 0
    private var offset = 0

    init(_ spans: UnsafeBufferPointer<iovec>) {
        self.spans = spans
        skipFinished()
    }

    /// Nothing is left.
    var isAtEnd: Bool { index == spans.count }

    /// The next piece, where it is if that can be, else copied together; nil when there is nothing left.
    mutating func next(copyingTo scratch: UnsafeMutableRawBufferPointer, always: Bool) -> UnsafeRawBufferPointer? {
        guard !isAtEnd else { return nil }
        if !always, rest.count >= scratch.count || index == spans.count - 1 {
            return take(atMost: scratch.count)
        }
        var used = 0
        while used < scratch.count, !isAtEnd {
            let piece = take(atMost: scratch.count - used)
            UnsafeMutableRawBufferPointer(rebasing: scratch[used...]).copyMemory(from: piece)
            used += piece.count
        }
        return UnsafeRawBufferPointer(rebasing: scratch[..<used])
    }

    /// What is left of the current span.
    private var rest: UnsafeRawBufferPointer {
        let span = UnsafeRawBufferPointer(start: spans[index].iov_base, count: spans[index].iov_len)
        return UnsafeRawBufferPointer(rebasing: span[offset...])
    }

    private mutating func take(atMost limit: Int) -> UnsafeRawBufferPointer {
        let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(limit))
        offset += piece.count
        skipFinished()
        return piece
    }

    private mutating func skipFinished() {
        while index < spans.count, offset == spans[index].iov_len {
            index += 1
            offset = 0
        }
    }
}
