/// Puts numbers, in host order, and one text at the end into a message.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func write(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Byte strings, each with its length before it.
    mutating func write(list: [[UInt8]]) {
        write(UInt32(list.count))
        for item in list {
            write(UInt32(item.count))
            bytes.append(contentsOf: item)
        }
    }

    /// Takes what is left of the message; a text that is too long is cut.
    mutating func write(text: String) {
        bytes.append(contentsOf: text.utf8.prefix(WorkerMessage.maximumSize - bytes.count))
    }
}

/// Takes apart what `ByteWriter` put together.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var isAtEnd: Bool { rest.isEmpty }

    /// nil if the message ends before that.
    mutating func read<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard rest.count >= size else { return nil }
        defer { rest.removeFirst(size) }
        return rest.withUnsafeBytes { $0.loadUnaligned(as: Value.self) }
    }

    mutating func readList() -> [[UInt8]]? {
        guard let count = read(UInt32.self) else { return nil }
        var list: [[UInt8]] = []
        for _ in 0..<count {
            guard let length = read(UInt32.self), rest.count >= Int(length) else { return nil }
            list.append(Array(rest.prefix(Int(length))))
            rest.removeFirst(Int(length))
        }
        return list
    }

    /// All that is left.
    mutating func readBytes() -> [UInt8] {
        defer { rest = [] }
        return Array(rest)
    }

    /// All that is left.
    mutating func readText() -> String { String(decoding: readBytes(), as: UTF8.self) }
}
