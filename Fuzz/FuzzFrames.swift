/// What a decoder makes of a stream must not depend on the pieces in which it comes. The first byte says how they are
/// cut.
func fuzzFrames(_ input: [UInt8]) {
    guard let step = input.first else { return }
    // The preface is given, or hardly any input would get beyond it.
    let stream = step & 0x80 == 0 ? Wire.preface + input.dropFirst() : Array(input.dropFirst())
    let whole = decode(stream, inPiecesOf: stream.count + 1)
    let pieces = decode(stream, inPiecesOf: Int(step & 0x7f) + 1)
    require(whole == pieces, "pieces change what is decoded")
}

/// Everything that a decoder reports, its data joined.
private struct Decoded: Equatable {
    var frames: [FrameHeader] = []
    var payloads: [[UInt8]] = []
    var data: [UInt8] = []
    var error: FrameError?
}

private func decode(_ stream: [UInt8], inPiecesOf size: Int) -> Decoded {
    var decoder = FrameDecoder()
    var decoded = Decoded()
    var nextData: Position?
    do throws(FrameError) {
        var start = 0
        while start < stream.count {
            let piece = Array(stream[start..<min(start + size, stream.count)])
            start += piece.count
            var cursor = 0
            reading: while true {
                switch try decoder.next(piece.span.bytes, &cursor) {
                case .needMore: break reading
                case .preface: continue
                case .frame(let header):
                    require(header.type != .data && header.length <= Wire.maximumControl)
                    require(decoder.payload.count == Int(header.length))
                    decoded.frames.append(header)
                    decoded.payloads.append(decoder.payload)
                case .dataHeader(let header):
                    require(header.type == .data && header.length <= Wire.maximumData)
                    decoded.frames.append(header)
                    nextData = header.offset
                case .data(let position, let range):
                    require(position == nextData && !range.isEmpty && range.upperBound <= cursor)
                    nextData = position &+ UInt64(range.count)
                    decoded.data += piece[range]
                }
            }
            require(cursor == piece.count, "input is left over")
        }
    } catch {
        decoded.error = error
    }
    return decoded
}
