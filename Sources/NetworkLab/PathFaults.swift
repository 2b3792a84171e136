/// What a path does to the packets of one direction. Without any, it passes them on at once.
///
/// Order of effects: silence, the largest size, loss, duplication, the rate with its queue, delay with jitter, reordering.
public struct PathFaults: Sendable, Equatable {
    /// Nothing arrives, and nobody is told.
    public var isSilent = false
    /// Larger IP packets vanish without an ICMP message, as behind a router that must not send one; nil for any size.
    public var largestPacket: Int?
    /// The share of packets that vanish, each by itself, from 0 to 1.
    public var loss = 0.0
    /// The share of packets that arrive twice.
    public var duplication = 0.0
    /// How fast packets leave; those that have to wait stand in a queue. nil for as fast as the machine.
    public var rate: Lab.Rate?
    /// How many bytes may stand in that queue; what comes on top is dropped.
    public var queueBytes = 256 * 1024
    /// How long every packet is under way, and by how much more at most. Jitter alone keeps the order.
    public var delay = Duration.zero
    public var jitter = Duration.zero
    /// The share of packets that are held back for `reorderingDelay` while those behind them pass.
    public var reordering = 0.0
    public var reorderingDelay = Duration.milliseconds(5)

    public init() {}

    public static var none: PathFaults { PathFaults() }

    public static var silence: PathFaults {
        var faults = PathFaults()
        faults.isSilent = true
        return faults
    }

    public static func loss(_ share: Double) -> PathFaults {
        var faults = PathFaults()
        faults.loss = share
        return faults
    }

    public static func delay(_ delay: Duration, jitter: Duration = .zero) -> PathFaults {
        var faults = PathFaults()
        faults.delay = delay
        faults.jitter = jitter
        return faults
    }

    /// - Parameter queueBytes: by default half a second's worth, as in a box with too large a buffer, and 16 KiB at least.
    public static func rate(_ rate: Lab.Rate, queueBytes: Int? = nil) -> PathFaults {
        var faults = PathFaults()
        faults.rate = rate
        faults.queueBytes = queueBytes ?? max(rate.bitsPerSecond / 16, 16 * 1024)
        return faults
    }

    public static func largestPacket(_ bytes: Int) -> PathFaults {
        var faults = PathFaults()
        faults.largestPacket = bytes
        return faults
    }
}

/// As a word of a line to the relay. Shares go in millionths, times in nanoseconds.
extension PathFaults {
    var text: String {
        [
            isSilent ? 1 : 0, largestPacket ?? 0, Self.millionths(loss), Self.millionths(duplication),
            rate?.bitsPerSecond ?? 0, queueBytes, delay.nanoseconds, jitter.nanoseconds, Self.millionths(reordering),
            reorderingDelay.nanoseconds,
        ].map(String.init).joined(separator: ",")
    }

    init?(text: some StringProtocol) {
        let numbers = text.split(separator: ",").compactMap { Int($0) }
        guard numbers.count == 10, numbers.allSatisfy({ $0 >= 0 }) else { return nil }
        isSilent = numbers[0] != 0
        largestPacket = numbers[1] == 0 ? nil : numbers[1]
        loss = Self.share(numbers[2])
        duplication = Self.share(numbers[3])
        rate = numbers[4] == 0 ? nil : Lab.Rate(bitsPerSecond: numbers[4])
        queueBytes = numbers[5]
        delay = .nanoseconds(numbers[6])
        jitter = .nanoseconds(numbers[7])
        reordering = Self.share(numbers[8])
        reorderingDelay = .nanoseconds(numbers[9])
    }

    private static func millionths(_ share: Double) -> Int { Int((share * 1_000_000).rounded()) }
    private static func share(_ millionths: Int) -> Double { Double(millionths) / 1_000_000 }
}

extension Duration {
    var nanoseconds: Int { Int(self / .nanoseconds(1)) }
}
