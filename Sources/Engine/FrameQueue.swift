import CLinux
import SessionProtocol
import Transport

/// The frames that a link has been given and not yet taken: complete frames, and what a partial write has left of one.
///
/// Payload is not copied: it stays in the session's ring and is gathered when it is written.
struct FrameQueue {
    /// Bytes gathered for one system call: they stay in the cache between the ring and the socket.
    static let gatheringLimit = 512 * 1024
    /// DATA frames of one write at most, besides the small ones.
    private static let maximumPieces = 16
    /// What ends a frame whose bytes have left the ring: the peer has delivered them from another link, and drops them.
    private static let filler = [UInt8](repeating: 0, count: Wire.maximumData)

    private enum Piece {
        /// Encoded bytes, from an index on.
        case bytes([UInt8], from: Int)
        case header(FrameHeader)
        case data(FrameHeader, Range<Position>)
        /// The rest of a DATA frame whose header has left.
        case rest(Range<Position>)
    }

    private var pieces: ContiguousArray<Piece> = []
    private(set) var byteCount = 0

    var isEmpty: Bool { pieces.isEmpty }
    /// There is room for another frame before the next write.
    var wantsMore: Bool { byteCount < Self.gatheringLimit && pieces.count < Self.maximumPieces }

    mutating func append(_ frame: OutgoingFrame) {
        switch frame {
        case .handshake(let bytes):
            pieces.append(.bytes(bytes, from: 0))
            byteCount += bytes.count
        case .header(let header):
            pieces.append(.header(header))
            byteCount += Wire.headerLength
        case .data(let header, let range):
            pieces.append(.data(header, range))
            byteCount += Wire.headerLength + range.count
        case .end: preconditionFailure("the end of a link is not a frame")
        }
    }

    /// Writes as much as the link takes in one system call.
    mutating func write(to link: inout Link, from ring: borrowing Ring) -> TransferResult {
        skipAcknowledged(below: ring.base)
        guard !pieces.isEmpty else { return .bytes(0) }
        let count = pieces.count
        let result = withUnsafeTemporaryAllocation(
            byteCount: count * Wire.headerLength, alignment: MemoryLayout<UInt64>.alignment
        ) { headers in
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: count * 4) { vectors in
                let used = gather(into: vectors, headers: headers, from: ring)
                return link.write(UnsafeBufferPointer(rebasing: vectors[..<used]))
            }
        }
        if case .bytes(let written) = result { advance(written) }
        return result
    }

    /// Fills the vector; headers are encoded side by side into `headers`.
    private func gather(
        into vectors: UnsafeMutableBufferPointer<iovec>, headers: UnsafeMutableRawBufferPointer,
        from ring: borrowing Ring
    ) -> Int {
        var used = 0
        var headerOffset = 0
        func add(_ base: UnsafeRawPointer?, _ length: Int) {
            guard length > 0 else { return }
            vectors.initializeElement(
                at: used, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: base), iov_len: length))
            used += 1
        }
        func addHeader(_ header: FrameHeader) {
            var room = headers.mutableBytes
            header.encode(into: &room, at: headerOffset)
            add(headers.baseAddress! + headerOffset, Wire.headerLength)
            headerOffset += Wire.headerLength
        }
        for piece in pieces {
            switch piece {
            case .bytes(let bytes, let from):
                // The array is kept alive and unchanged by the queue until the write is done.
                bytes.withUnsafeBytes { add($0.baseAddress! + from, $0.count - from) }
            case .header(let header): addHeader(header)
            case .data(let header, let range):
                addHeader(header)
                addSpans(of: range)
            case .rest(let range): addSpans(of: range)
            }
        }
        func addSpans(of asked: Range<Position>) {
            let range = max(asked.lowerBound, ring.base)..<max(asked.upperBound, ring.base)
            // The array is a constant, and so stays where it is.
            Self.filler.withUnsafeBytes { add($0.baseAddress, asked.count - range.count) }
            let (first, second) = ring.spans(of: range)
            add(first.baseAddress, first.count)
            if let second { add(second.baseAddress, second.count) }
        }
        return used
    }

    /// Drops what the peer has acknowledged meanwhile, as it may when a frame was first sent on a link since lost.
    private mutating func skipAcknowledged(below base: Position) {
        var index = 0
        while index < pieces.count {
            switch pieces[index] {
            case .data(_, let range) where range.upperBound <= base:
                byteCount -= Wire.headerLength + range.count
                pieces.remove(at: index)
            case .data(var header, let range) where range.lowerBound < base:
                byteCount -= Int(base - range.lowerBound)
                header.offset = base
                header.length = UInt32(range.upperBound - base)
                pieces[index] = .data(header, base..<range.upperBound)
                index += 1
            case .bytes, .header, .data, .rest: index += 1
            }
        }
    }

    /// Takes written bytes off the front.
    private mutating func advance(_ written: Int) {
        byteCount -= written
        var left = written
        var done = 0
        while left > 0 {
            let length: Int
            switch pieces[done] {
            case .bytes(let bytes, let from):
                length = bytes.count - from
                if left < length { pieces[done] = .bytes(bytes, from: from + left) }
            case .header(let header):
                length = Wire.headerLength
                if left < length { pieces[done] = .bytes(header.encodedBytes, from: left) }
            case .data(let header, let range):
                length = Wire.headerLength + range.count
                if left >= length { break }
                if left < Wire.headerLength {
                    pieces[done] = .bytes(header.encodedBytes, from: left)
                    pieces.insert(.rest(range), at: done + 1)
                } else {
                    pieces[done] = .rest(range.dropFirst(left - Wire.headerLength))
                }
            case .rest(let range):
                length = range.count
                if left < length { pieces[done] = .rest(range.dropFirst(left)) }
            }
            if left < length { break }
            left -= length
            done += 1
        }
        pieces.removeFirst(done)
    }
}

extension Range<Position> {
    fileprivate func dropFirst(_ count: Int) -> Range<Position> { lowerBound + UInt64(count)..<upperBound }
}
