// Type–length–value items: the payload of OPEN, OPENED, REFUSED, ATTACH, ATTACHED, GONE, LOOKUP, FOUND, ASK
// and ANSWER.

/// What an item means. The top bit says "critical": who does not know it must refuse.
enum ItemType: UInt16 {
    case session = 0x8001
    case keyShare = 0x8002
    case destination = 0x8003
    case transportProtocol = 0x8004
    case linkNumber = 0x8005
    case epoch = 0x8006
    case received = 0x8007
    case instance = 0x0008
    case suspendLimit = 0x0009
    case code = 0x000a
    case text = 0x000b
    case finalPositions = 0x000c
    /// Always the last item: it proves every byte of the frame before it.
    case proof = 0x800d
    /// A port, and the name whose addresses are asked for.
    case name = 0x800e
    case addresses = 0x800f

    static let criticalBit: UInt16 = 0x8000
    /// 16-bit type and 16-bit length.
    static let headLength = 4
    static let proofItemLength = headLength + Wire.proofLength
}

/// Writes a handshake frame: header, then items.
struct ItemWriter {
    private(set) var bytes: [UInt8]

    /// Starts with room for the header, which ``finish(_:)`` fills in.
    init() { bytes = [UInt8](repeating: 0, count: Wire.headerLength) }

    mutating func append(_ type: ItemType, _ value: some Collection<UInt8>) {
        precondition(value.count <= Int(UInt16.max), "an item is at most 64 KiB")
        appendInteger(type.rawValue)
        appendInteger(UInt16(value.count))
        bytes.append(contentsOf: value)
    }

    mutating func append(_ type: ItemType, _ value: some FixedWidthInteger) {
        appendInteger(type.rawValue)
        appendInteger(UInt16(value.bitWidth / 8))
        appendInteger(value)
    }

    mutating func append(_ type: ItemType, _ high: UInt64, _ low: UInt64) {
        appendInteger(type.rawValue)
        appendInteger(UInt16(16))
        appendInteger(high)
        appendInteger(low)
    }

    private mutating func appendInteger<Value: FixedWidthInteger>(_ value: Value) {
        var shift = Value.bitWidth
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
        }
    }

    /// Fills in the header, whose length counts `trailing` bytes that are still to be appended.
    consuming func finish(_ header: FrameHeader, trailing: Int = 0) -> [UInt8] {
        var header = header
        header.length = UInt32(bytes.count - Wire.headerLength + trailing)
        var span = bytes.mutableSpan
        var room = span.mutableBytes
        header.encode(into: &room)
        return bytes
    }
}

/// Reads the items of one handshake payload.
struct ItemReader {
    private let payload: [UInt8]
    private var cursor = 0
    private let type: FrameType

    init(_ payload: [UInt8], of type: FrameType) {
        self.payload = payload
        self.type = type
    }

    struct Item {
        let type: ItemType
        let value: ArraySlice<UInt8>
        /// Where the item begins in the payload.
        let start: Int
    }

    /// The next item that this end knows; unknown ones are skipped unless critical.
    mutating func next() throws(FrameError) -> Item? {
        while cursor < payload.count {
            let start = cursor
            guard payload.count - cursor >= ItemType.headLength else { throw .malformed(type) }
            let rawType = UInt16(payload[cursor]) << 8 | UInt16(payload[cursor + 1])
            let length = Int(payload[cursor + 2]) << 8 | Int(payload[cursor + 3])
            cursor += ItemType.headLength
            guard payload.count - cursor >= length else { throw .malformed(type) }
            let value = payload[cursor..<cursor + length]
            cursor += length
            if let known = ItemType(rawValue: rawType) { return Item(type: known, value: value, start: start) }
            if rawType & ItemType.criticalBit != 0 { throw .unknownCriticalItem(rawType) }
        }
        return nil
    }
}

extension ItemReader.Item {
    /// The value as an integer of exactly its own width.
    func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _: Value.Type = Value.self, in frame: FrameType
    ) throws(FrameError) -> Value {
        guard value.count == Value.bitWidth / 8 else { throw .malformed(frame) }
        var result: Value = 0
        for byte in value { result = result << 8 | Value(byte) }
        return result
    }

    func pair(in frame: FrameType) throws(FrameError) -> (UInt64, UInt64) {
        guard value.count == 16 else { throw .malformed(frame) }
        var words: (UInt64, UInt64) = (0, 0)
        for byte in value.prefix(8) { words.0 = words.0 << 8 | UInt64(byte) }
        for byte in value.dropFirst(8) { words.1 = words.1 << 8 | UInt64(byte) }
        return words
    }

    func bytes(count: Int, in frame: FrameType) throws(FrameError) -> [UInt8] {
        guard value.count == count else { throw .malformed(frame) }
        return [UInt8](value)
    }
}
