import Testing

@testable import SessionProtocol

/// What a decoder has reported, with the pieces of a frame's data joined.
private struct Decoded: Equatable {
    var prefaces = 0
    var frames: [FrameHeader] = []
    var payloads: [[UInt8]] = []
    var data: [UInt8] = []

    mutating func take(_ input: [UInt8], with decoder: inout FrameDecoder) throws(FrameError) {
        var cursor = 0
        while true {
            switch try decoder.next(input.span.bytes, &cursor) {
            case .needMore: return
            case .preface: prefaces += 1
            case .frame(let header):
                frames.append(header)
                payloads.append(header.length == 0 ? [] : decoder.payload)
            case .dataHeader(let header): frames.append(header)
            case .data(let position, let range):
                // Every DATA frame here has seven bytes.
                let expected = frames.last.map { $0.offset + UInt64(data.count % 7) } ?? 0
                #expect(position == expected)
                data += input[range]
            }
        }
    }
}

@Suite struct FrameDecoderTests {
    /// Preface, a control frame with payload, one without, two of data, an empty one of data, and one more.
    private let stream =
        Wire.preface + Samples.open.encoded + FrameHeader(type: .ack).encodedBytes
        + FrameHeader(type: .data, length: 7, offset: 100).encodedBytes + [1, 2, 3, 4, 5, 6, 7]
        + FrameHeader(type: .data, length: 0, offset: 107).encodedBytes
        + FrameHeader(type: .data, length: 7, offset: 107).encodedBytes + [8, 9, 10, 11, 12, 13, 14]
        + FrameHeader(type: .fin, offset: 114).encodedBytes

    private func whole() throws -> Decoded {
        var decoder = FrameDecoder()
        var decoded = Decoded()
        try decoded.take(stream, with: &decoder)
        return decoded
    }

    @Test func wholeStream() throws {
        let decoded = try whole()
        #expect(decoded.prefaces == 1)
        #expect(decoded.frames.map { $0.type } == [.open, .ack, .data, .data, .data, .fin])
        #expect(decoded.payloads.first == Samples.open.encoded.payload)
        #expect(decoded.data == Array(1...14))
    }

    @Test func twoPiecesAtEveryByte() throws {
        let expected = try whole()
        for split in 0...stream.count {
            var decoder = FrameDecoder()
            var decoded = Decoded()
            try decoded.take(Array(stream[..<split]), with: &decoder)
            try decoded.take(Array(stream[split...]), with: &decoder)
            #expect(decoded == expected, "split at \(split)")
        }
    }

    @Test(arguments: [1, 2, 3, 23, 24, 25])
    func equalPieces(_ size: Int) throws {
        var decoder = FrameDecoder()
        var decoded = Decoded()
        for start in stride(from: 0, to: stream.count, by: size) {
            try decoded.take(Array(stream[start..<min(start + size, stream.count)]), with: &decoder)
        }
        #expect(decoded == (try whole()))
    }

    @Test func wrongPreface() {
        for index in Wire.preface.indices {
            var bytes = Wire.preface
            bytes[index] ^= 0x20
            let expected: FrameError = index < 4 ? .notUSL : .otherVersion
            #expect(throws: expected) {
                var decoder = FrameDecoder()
                var decoded = Decoded()
                try decoded.take(bytes, with: &decoder)
            }
        }
    }

    @Test func errorsInAnyPiece() {
        let wrong = Wire.preface + [48] + [UInt8](repeating: 0, count: 23)
        for split in 0...wrong.count {
            #expect(throws: FrameError.unknownType(48)) {
                var decoder = FrameDecoder()
                var decoded = Decoded()
                try decoded.take(Array(wrong[..<split]), with: &decoder)
                try decoded.take(Array(wrong[split...]), with: &decoder)
            }
        }
    }
}
