/// Accepts each epoch once, within a window of 64 below the highest seen: the sliding window of RFC 6479, with one word.
struct EpochWindow: Equatable, Sendable {
    static let size: UInt64 = 64

    private(set) var highest: Epoch
    /// Bit n: `highest − n` was seen.
    private var seen: UInt64

    /// Nothing seen yet above `highest`, which counts as seen itself: epochs start at 1.
    init(highest: Epoch = 0) {
        self.highest = highest
        seen = .max
    }

    /// True the first time that an epoch inside the window is shown.
    mutating func accept(_ epoch: Epoch) -> Bool {
        if epoch > highest {
            let shift = epoch - highest
            seen = shift < EpochWindow.size ? seen << shift | 1 : 1
            highest = epoch
            return true
        }
        let age = highest - epoch
        guard age < EpochWindow.size, seen & (1 << age) == 0 else { return false }
        seen |= 1 << age
        return true
    }
}
