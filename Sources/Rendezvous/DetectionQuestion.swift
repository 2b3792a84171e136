/// What is asked to learn whether a destination has a gateway. Each answer is remembered by itself.
public struct DetectionQuestion: Hashable, Sendable {
    public enum Way: String, CaseIterable, Sendable {
        /// Whether a gateway listens at the gateway port of the destination's host, and serves the destination.
        case port
        /// Whether a front serves the destination's own port.
        case probe
    }

    public let way: Way
    /// Whether links are to be plain; a gateway of the other kind is none.
    public let isPlain: Bool
    /// The destination, `ADDRESS:PORT` in one word.
    public let place: String

    public init(_ way: Way, at place: String, isPlain: Bool) {
        self.way = way
        self.place = place
        self.isPlain = isPlain
    }
}

/// What was found, and until when it holds.
public struct DetectionFinding: Equatable, Sendable {
    /// Gateways, `ADDRESS:PORT` each; none of an ordinary peer. Words that are no addresses are marks.
    public let gateways: [String]
    /// Seconds since 1970, by the wall clock, since others who read it were not here when it was written.
    public private(set) var until: UInt64

    /// What the file has in the place of a gateway that serves the destination for as long as a server program offers it, behind
    /// that gateway; and in the place of one that has nothing to do with the destination.
    private static let offeredMark = "offered"
    private static let declinedMark = "declined"

    /// Whether the gateway serves the destination only while a server program offers it.
    public var isOffered: Bool { gateways.last == Self.offeredMark }

    /// Whether there is a gateway that has said, by a key that it is known by if there is one, that it does not serve the destination.
    public var isDeclined: Bool { gateways.first == Self.declinedMark }

    /// What to note of ``isOffered``.
    public static func offered(by gateway: String) -> [String] { [gateway, offeredMark] }

    /// What to note of ``isDeclined``.
    public static var declined: [String] { [declinedMark] }

    /// How long a finding holds, in seconds.
    public static let lifetime: UInt64 = 600

    public init(gateways: [String], until: UInt64) {
        self.gateways = gateways
        self.until = until
    }

    /// Whether it holds still. One from the future does not: the clock was set back, and nobody knows how old it is.
    public func holds(_ now: UInt64) -> Bool { until > now && until - now <= Self.lifetime }

    /// It held until now, and no longer.
    mutating func expire(_ now: UInt64) { until = min(until, now) }
}
