/// IPv6 addresses as text.
enum IPv6Text {
    private static let colon = UInt8(ascii: ":")

    /// RFC 4291, 2.2: eight groups of up to four hexadecimal digits, the last two of which may be an IPv4 address; `::` once
    /// stands for groups of zeros.
    static func parse(_ text: Substring.UTF8View) -> RuleAddress? {
        let halves = divide(text)
        guard let front = groups(halves.front) else { return nil }
        guard let rest = halves.back else { return front.count == 8 ? address(front) : nil }
        // `::` stands for at least one group.
        guard let back = groups(rest), front.count + back.count <= 7, !front.endsInIPv4 else { return nil }
        return address(
            Groups(words: front.words + Array(repeating: 0, count: 8 - front.count - back.count) + back.words))
    }

    private struct Groups {
        var words: [UInt16]
        var endsInIPv4 = false
        var count: Int { words.count }
    }

    /// In front of the first `::` and behind it.
    private static func divide(_ text: Substring.UTF8View) -> (front: Substring.UTF8View, back: Substring.UTF8View?) {
        for index in text.indices where text[index] == colon {
            let next = text.index(after: index)
            if next < text.endIndex, text[next] == colon { return (text[..<index], text[text.index(after: next)...]) }
        }
        return (text, nil)
    }

    private static func groups(_ text: Substring.UTF8View) -> Groups? {
        guard !text.isEmpty else { return Groups(words: []) }
        var groups = Groups(words: [])
        let parts = text.split(separator: colon, maxSplits: 8, omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, let tail = RuleAddress.v4(part) {
                groups.words += [UInt16(tail >> 16), UInt16(truncatingIfNeeded: tail)]
                groups.endsInIPv4 = true
            } else {
                guard (1...4).contains(part.count), part.allSatisfy(isHexadecimal),
                    let word = UInt16(Substring(part), radix: 16)
                else { return nil }
                groups.words.append(word)
            }
        }
        return groups
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }

    private static func address(_ groups: Groups) -> RuleAddress {
        func half(_ words: ArraySlice<UInt16>) -> UInt64 { words.reduce(0) { $0 << 16 | UInt64($1) } }
        return .v6(high: half(groups.words[..<4]), low: half(groups.words[4...]))
    }

    /// RFC 5952, 4: lower case, no leading zeros, `::` for the first of the longest runs of at least two zero groups.
    static func text(_ high: UInt64, _ low: UInt64) -> String {
        let words = (0..<8).map { index in
            UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - index % 4 * 16))
        }
        var longest = 0..<0
        var start = 0
        for (index, word) in words.enumerated() {
            if word != 0 { start = index + 1 } else if index + 1 - start > longest.count { longest = start..<index + 1 }
        }
        func text(_ words: ArraySlice<UInt16>) -> String {
            words.map { String($0, radix: 16) }.joined(separator: ":")
        }
        if longest.count < 2 { return text(words[...]) }
        return text(words[..<longest.lowerBound]) + "::" + text(words[longest.upperBound...])
    }
}
