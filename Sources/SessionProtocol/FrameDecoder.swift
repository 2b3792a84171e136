/// Takes the bytes of a link apart, in whatever pieces they arrive, and copies no data payload.
///
/// DATA is reported in pieces as it arrives, so a frame is never waited for; every other payload is bounded by
/// ``Wire/maximumControl`` and collected in ``payload``.
public struct FrameDecoder: Sendable {
    public enum Event: Equatable, Sendable {
        /// All input is consumed.
        case needMore
        /// The peer's preface was complete and right.
        case preface
        /// A whole frame other than DATA; its payload, if any, is in ``FrameDecoder/payload``.
        case frame(FrameHeader)
        /// A DATA header; its bytes follow as ``data(position:range:)``.
        case dataHeader(FrameHeader)
        /// Bytes of a DATA frame: `range` of the input, the first of them at `position`.
        case data(position: Position, range: Range<Int>)
    }

    private enum State {
        case preface(matched: Int)
        case header(collected: Int)
        case control(FrameHeader)
        case data(FrameHeader, passed: Int)
    }

    private var state: State = .preface(matched: 0)
    private var header = InlineArray<24, UInt8>(repeating: 0)
    /// The payload of the last ``Event/frame(_:)``.
    public private(set) var payload: [UInt8] = []

    public init() {}

    /// Consumes input from `cursor` up to the next event and advances `cursor` behind what it consumed.
    public mutating func next(_ input: RawSpan, _ cursor: inout Int) throws(FrameError) -> Event {
        while cursor < input.byteCount {
            switch state {
            case .preface(let matched):
                if try matchPreface(input, &cursor, matched) { return .preface }
            case .header(let collected):
                guard let header = try collectHeader(input, &cursor, collected) else { continue }
                if let event = begin(header) { return event }
            case .control(let header):
                let missing = Int(header.length) - payload.count
                let taken = min(missing, input.byteCount - cursor)
                for index in cursor..<cursor + taken {
                    payload.append(input.unsafeLoad(fromByteOffset: index, as: UInt8.self))
                }
                cursor += taken
                if taken == missing {
                    state = .header(collected: 0)
                    return .frame(header)
                }
            case .data(let header, let passed):
                let missing = Int(header.length) - passed
                let taken = min(missing, input.byteCount - cursor)
                let range = cursor..<cursor + taken
                cursor += taken
                state = taken == missing ? .header(collected: 0) : .data(header, passed: passed + taken)
                return .data(position: header.offset &+ UInt64(passed), range: range)
            }
        }
        return .needMore
    }

    private mutating func matchPreface(
        _ input: RawSpan, _ cursor: inout Int, _ alreadyMatched: Int
    ) throws(FrameError) -> Bool {
        var matched = alreadyMatched
        while matched < Wire.preface.count, cursor < input.byteCount {
            guard input.unsafeLoad(fromByteOffset: cursor, as: UInt8.self) == Wire.preface[matched] else {
                throw matched >= Wire.prefaceNameLength ? .otherVersion : .notUSL
            }
            matched += 1
            cursor += 1
        }
        guard matched == Wire.preface.count else {
            state = .preface(matched: matched)
            return false
        }
        state = .header(collected: 0)
        return true
    }

    private mutating func collectHeader(
        _ input: RawSpan, _ cursor: inout Int, _ alreadyCollected: Int
    ) throws(FrameError) -> FrameHeader? {
        if alreadyCollected == 0, input.byteCount - cursor >= Wire.headerLength {
            let header = try FrameHeader(input, at: cursor)
            cursor += Wire.headerLength
            return header
        }
        var collected = alreadyCollected
        while collected < Wire.headerLength, cursor < input.byteCount {
            header[collected] = input.unsafeLoad(fromByteOffset: cursor, as: UInt8.self)
            collected += 1
            cursor += 1
        }
        guard collected == Wire.headerLength else {
            state = .header(collected: collected)
            return nil
        }
        return try FrameHeader(header.span.bytes, at: 0)
    }

    private mutating func begin(_ header: FrameHeader) -> Event? {
        state = .header(collected: 0)
        guard header.type != .data else {
            if header.length > 0 { state = .data(header, passed: 0) }
            return .dataHeader(header)
        }
        payload.removeAll(keepingCapacity: true)
        if header.length == 0 { return .frame(header) }
        state = .control(header)
        return nil
    }
}
