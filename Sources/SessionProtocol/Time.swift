/// A moment on the driver's clock, in nanoseconds since an arbitrary start. The core never reads a clock: every input
/// that needs the time is given one of these.
public struct Instant: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }
    public static func + (instant: Instant, interval: Interval) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &+ interval.nanoseconds)
    }
    /// The last multiple of `pace` that is not later.
    func roundedDown(to pace: Interval) -> Instant {
        Instant(nanoseconds: nanoseconds - nanoseconds % pace.nanoseconds)
    }
    /// The time from `right` to `left`; zero when `right` is later.
    public static func - (left: Instant, right: Instant) -> Interval {
        Interval(nanoseconds: left > right ? left.nanoseconds - right.nanoseconds : 0)
    }
}

/// A length of time, never negative, in nanoseconds: up to 584 years.
public struct Interval: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Nothing for a negative duration.
    public init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let isNegative = seconds < 0 || attoseconds < 0
        nanoseconds = isNegative ? 0 : UInt64(seconds) &* 1_000_000_000 &+ UInt64(attoseconds) / 1_000_000_000
    }

    public static let zero = Interval(nanoseconds: 0)
    public static func microseconds(_ count: UInt64) -> Interval { Interval(nanoseconds: count * 1_000) }
    public static func milliseconds(_ count: UInt64) -> Interval { Interval(nanoseconds: count * 1_000_000) }
    public static func seconds(_ count: UInt64) -> Interval { Interval(nanoseconds: count * 1_000_000_000) }
    public static func hours(_ count: UInt64) -> Interval { .seconds(count * 3_600) }

    /// Whole milliseconds, rounded up, so that a wait of this length never ends early.
    public var millisecondsRoundedUp: UInt64 { (nanoseconds + 999_999) / 1_000_000 }

    /// Whole seconds, rounded down.
    public var seconds: UInt64 { nanoseconds / 1_000_000_000 }

    public static func < (left: Interval, right: Interval) -> Bool { left.nanoseconds < right.nanoseconds }
    public static func + (left: Interval, right: Interval) -> Interval {
        Interval(nanoseconds: left.nanoseconds &+ right.nanoseconds)
    }
    public static func * (interval: Interval, factor: UInt64) -> Interval {
        Interval(nanoseconds: interval.nanoseconds * factor)
    }
    public static func / (interval: Interval, divisor: UInt64) -> Interval {
        Interval(nanoseconds: interval.nanoseconds / divisor)
    }
}
