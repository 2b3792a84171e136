/// Counts values in buckets that grow with them, so that a value is known to within 0.8 %, whatever its size, and recording one
/// takes a few instructions (the idea of HdrHistogram: linear steps between powers of two).
struct Histogram {
    /// Steps between two powers of two.
    private static let steps = 128

    private var counts = [Int](repeating: 0, count: 58 * Histogram.steps)
    private(set) var count = 0
    private(set) var most: UInt64 = 0

    mutating func record(_ value: UInt64) {
        counts[Self.bucket(of: value)] += 1
        count += 1
        most = max(most, value)
    }

    mutating func add(_ other: Histogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        most = max(most, other.most)
    }

    /// The value that a share of all does not exceed, from 0 to 1; 0 if there are none.
    func percentile(_ share: Double) -> UInt64 {
        let wanted = max(1, Int((share * Double(count)).rounded(.up)))
        var seen = 0
        for (bucket, inIt) in counts.enumerated() where inIt > 0 {
            seen += inIt
            if seen >= wanted { return min(most, Self.largest(in: bucket)) }
        }
        return most
    }

    private static func bucket(of value: UInt64) -> Int {
        guard value >= UInt64(2 * steps) else { return Int(value) }
        let shift = value.bitWidth - 1 - value.leadingZeroBitCount - (steps.bitWidth - 1 - steps.leadingZeroBitCount)
        return shift * steps + Int(value >> UInt64(shift))
    }

    private static func largest(in bucket: Int) -> UInt64 {
        let shift = max(0, bucket / steps - 1)
        return (UInt64(bucket - shift * steps) << UInt64(shift)) | ((1 << UInt64(shift)) - 1)
    }
}
