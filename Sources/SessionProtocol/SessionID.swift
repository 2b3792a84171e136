/// Names a session: 128 random bits chosen by the opener.
public struct SessionID: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 32 lower-case hexadecimal digits.
    public var hex: String { hexadecimal(high) + hexadecimal(low) }
}

private func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}

/// Which end of a session this is. The opener dials every link; the acceptor never dials back.
public enum Role: UInt8, Sendable {
    case opener = 0
    case acceptor = 1
}

/// A 64-bit byte offset in one direction of a session, starting at 0. At 100 Gbit/s it wraps after 46 years.
public typealias Position = UInt64

/// The number that the opener gives a link; the link of the first OPEN is 0.
public typealias LinkNumber = UInt32

/// Grows with every ATTACH of a session, so that an old or replayed one is recognised.
public typealias Epoch = UInt64
