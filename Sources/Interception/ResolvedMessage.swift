// What stands behind a `resolved` request, in the same sendmsg(2): a name, and the addresses that an application's resolver
// gave for it. Like ControlMessage.swift without imports and without allocation, as both ends are built from it.
//
//     byte  0       length of the name, at least 1
//     bytes 1–…     name, as the application gave it
//     then, for each address:
//     byte  0       4 or 6
//     bytes 1–…     4 or 16 bytes of address, in network byte order
//     4 bytes       for IPv6: interface index of a link-local address, else zero; little-endian

/// An address that a name has.
public enum ResolvedAddress: Equatable, Sendable {
    /// The first byte is the most significant.
    case v4(UInt32)
    /// Two halves, likewise, and an interface index.
    case v6(high: UInt64, low: UInt64, scope: UInt32)
}

/// A name and its addresses, as they travel.
public struct ResolvedMessage: Sendable {
    /// DNS names have 253 characters at most (RFC 1035, 2.3.4), and the length is one byte.
    public static let longestName = 255
    /// More are left out: nobody tries as many.
    public static let maximumAddresses = 64
    /// Bytes of the longest message.
    public static let capacity = 1 + 255 + 64 * 21

    private var bytes = InlineArray<1600, UInt8>(repeating: 0)
    /// Bytes in use.
    public private(set) var count: Int
    public private(set) var addressCount = 0

    /// Without addresses yet; nil if the name is empty or too long.
    public init?(nameCount: Int, byte: (Int) -> UInt8) {
        guard nameCount > 0, nameCount <= Self.longestName else { return nil }
        bytes[0] = UInt8(truncatingIfNeeded: nameCount)
        for index in 0..<nameCount { bytes[1 + index] = byte(index) }
        count = 1 + nameCount
    }

    /// Adds an address, if there is room.
    public mutating func append(_ address: ResolvedAddress) {
        guard addressCount < Self.maximumAddresses else { return }
        addressCount += 1
        switch address {
        case .v4(let address):
            append(4)
            appendBigEndian(UInt64(address), 4)
        case .v6(let high, let low, let scope):
            append(6)
            appendBigEndian(high, 8)
            appendBigEndian(low, 8)
            for index in 0..<4 { append(UInt8(truncatingIfNeeded: scope >> UInt32(8 * index))) }
        }
    }

    private mutating func append(_ byte: UInt8) {
        bytes[count] = byte
        count += 1
    }

    private mutating func appendBigEndian(_ value: UInt64, _ size: Int) {
        for index in 0..<size { append(UInt8(truncatingIfNeeded: value >> UInt64(8 * (size - 1 - index)))) }
    }

    /// Reads a message; nil unless every byte of it has a meaning.
    public init?(_ payload: borrowing Span<UInt8>) {
        guard payload.count <= Self.capacity, payload.count > 0 else { return nil }
        let nameCount = Int(payload[0])
        guard payload.count > nameCount else { return nil }
        var name = InlineArray<255, UInt8>(repeating: 0)
        for index in 0..<nameCount { name[index] = payload[1 + index] }
        self.init(nameCount: nameCount) { name[$0] }
        var cursor = 1 + nameCount
        while cursor < payload.count {
            guard addressCount < Self.maximumAddresses else { return nil }
            let size: Int
            switch payload[cursor] {
            case 4: size = 5
            case 6: size = 21
            default: return nil
            }
            guard cursor + size <= payload.count else { return nil }
            for index in cursor..<cursor + size { append(payload[index]) }
            addressCount += 1
            cursor += size
        }
    }

    public subscript(index: Int) -> UInt8 { bytes[index] }

    public func forEachNameByte(_ body: (UInt8) -> Void) {
        for index in 1...Int(bytes[0]) { body(bytes[index]) }
    }

    public func forEachAddress(_ body: (ResolvedAddress) -> Void) {
        var cursor = 1 + Int(bytes[0])
        while cursor < count {
            if bytes[cursor] == 4 {
                body(.v4(UInt32(truncatingIfNeeded: bigEndian(cursor + 1, 4))))
                cursor += 5
            } else {
                var scope: UInt32 = 0
                for index in 0..<4 { scope |= UInt32(bytes[cursor + 17 + index]) << UInt32(8 * index) }
                body(.v6(high: bigEndian(cursor + 1, 8), low: bigEndian(cursor + 9, 8), scope: scope))
                cursor += 21
            }
        }
    }

    private func bigEndian(_ start: Int, _ size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in start..<start + size { value = value << 8 | UInt64(bytes[index]) }
        return value
    }
}
