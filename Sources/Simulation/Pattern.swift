import SessionProtocol

/// The content that an application sends: each byte follows from its position, so that a lost, doubled or displaced
/// byte is seen when it is delivered.
enum Pattern {
    /// A prime, so that bytes displaced by a power of two, the usual mistake, do not match.
    private static let period: UInt64 = 65_521
    /// One period and a whole frame behind it, so that any frame's content is one slice.
    private static let opener = table(seed: 1)
    private static let acceptor = table(seed: 2)

    /// The bytes that `sender`'s application has at `range`, at most ``Wire/maximumData`` of them.
    static func bytes(of sender: Role, _ range: Range<Position>) -> ArraySlice<UInt8> {
        let table = sender == .opener ? opener : acceptor
        let start = Int(range.lowerBound % period)
        return table[start..<start + range.count]
    }

    /// Whether `content` is what `sender`'s application has from `start` on.
    static func matches(_ content: ArraySlice<UInt8>, of sender: Role, from start: Position) -> Bool {
        var content = content
        var position = start
        while !content.isEmpty {
            let piece = content.prefix(Wire.maximumData)
            guard piece == bytes(of: sender, position..<position + UInt64(piece.count)) else { return false }
            position += UInt64(piece.count)
            content = content.dropFirst(piece.count)
        }
        return true
    }

    private static func table(seed: UInt64) -> [UInt8] {
        var random = SplitMix(state: seed)
        let first = random.bytes(Int(period))
        return first + first + first.prefix(Wire.maximumData)
    }
}
