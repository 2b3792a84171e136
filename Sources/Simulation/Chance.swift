import SessionProtocol

/// Draws from the one generator of a run.
extension SplitMix {
    /// True in `share` of all draws.
    mutating func chance(_ share: Double) -> Bool {
        share > 0 && Double(next() >> 11) * 0x1p-53 < share
    }

    /// 0 to `bound` − 1; 0 for a bound of 0.
    mutating func below(_ bound: Int) -> Int { bound > 0 ? Int(next() % UInt64(bound)) : 0 }

    mutating func within(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }

    mutating func pick<Choice>(_ choices: [Choice]) -> Choice { choices[below(choices.count)] }

    /// A duration up to `longest`, short ones as likely as long ones on a logarithmic scale.
    mutating func interval(upTo longest: Interval) -> Interval {
        let scaled = longest.nanoseconds >> UInt64(below(8))
        return Interval(nanoseconds: scaled == 0 ? 0 : next() % scaled)
    }

    /// A size from 1 to `largest`, small ones as likely as large ones on a logarithmic scale.
    mutating func size(upTo largest: Int) -> Int {
        let scaled = max(largest >> below(8), 1)
        return 1 + below(scaled)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}
