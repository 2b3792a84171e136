/// The default policy table of RFC 6724, section 2.1: which addresses belong together, and which are to be preferred.
enum PolicyTable {
    struct Entry {
        let high: UInt64
        let low: UInt64
        let length: Int
        /// Higher is better, of destinations.
        let precedence: Int
        /// Sources and destinations with the same label go together.
        let label: Int
    }

    /// Longest prefix first, so that the first match is the one that counts.
    private static let entries = [
        Entry(high: 0, low: 1, length: 128, precedence: 50, label: 0),  // loopback
        Entry(high: 0, low: 0xffff_0000_0000, length: 96, precedence: 35, label: 4),  // IPv4
        Entry(high: 0, low: 0, length: 96, precedence: 1, label: 3),  // IPv4-compatible, deprecated
        Entry(high: 0x2001_0000 << 32, low: 0, length: 32, precedence: 5, label: 5),  // Teredo
        Entry(high: 0x2002 << 48, low: 0, length: 16, precedence: 30, label: 2),  // 6to4
        Entry(high: 0x3ffe << 48, low: 0, length: 16, precedence: 1, label: 12),  // 6bone, returned
        Entry(high: 0xfec0 << 48, low: 0, length: 10, precedence: 1, label: 11),  // site-local, deprecated
        Entry(high: 0xfc00 << 48, low: 0, length: 7, precedence: 3, label: 13),  // unique local
    ]

    /// `::/0`.
    private static let anything = Entry(high: 0, low: 0, length: 0, precedence: 40, label: 1)

    static func entry(for address: IPAddress) -> Entry {
        entries.first { entry in
            address.commonBits(with: .v6(high: entry.high, low: entry.low, scope: 0)) >= entry.length
        } ?? anything
    }
}

extension IPAddress {
    var label: Int { PolicyTable.entry(for: self).label }
    var precedence: Int { PolicyTable.entry(for: self).precedence }
}
