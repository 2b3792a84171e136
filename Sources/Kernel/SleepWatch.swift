import CLinux
public import SystemPackage

/// Tells when the machine was suspended.
///
/// A timer of `CLOCK_REALTIME` that never fires is cancelled when that clock jumps (timerfd_create(2),
/// `TFD_TIMER_CANCEL_ON_SET`), and resuming is such a jump: so there is an event at once, and no periodic look at the clock.
/// Timeouts of epoll would be late, since they do not count suspended time.
public struct SleepWatch: ~Copyable {
    /// Readable when the machine may have slept. Does not block.
    public let descriptor: Descriptor
    private var clocks: SleepClocks

    public init() throws(Errno) {
        let clocks = SleepClocks(try .now())
        let timer = Descriptor(owning: try check(timerfd_create(CLOCK_REALTIME, Int32(TFD_CLOEXEC | TFD_NONBLOCK))))
        var never = itimerspec()
        never.it_value.tv_sec = .max
        let flags = Int32(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)
        try check(timerfd_settime(timer.number, flags, &never, nil))
        self.clocks = clocks
        descriptor = timer
    }

    /// How long the machine has slept since the last call; nil if it has not, and only the time of day was set.
    public mutating func slept() throws(Errno) -> Duration? {
        var count: UInt64 = 0
        do {
            try retrying { read(descriptor.number, &count, MemoryLayout<UInt64>.size) }
        } catch .canceled {
            // The clock has jumped.
        } catch .wouldBlock {
            // A false wake-up costs no more than a look at the clocks.
        }
        return clocks.advance(to: try .now())
    }
}

/// Compares the clock that counts suspended time with the one that does not.
public struct SleepClocks: Sendable {
    public struct Reading: Sendable {
        let boot: Duration
        let monotonic: Duration

        public init(boot: Duration, monotonic: Duration) {
            self.boot = boot
            self.monotonic = monotonic
        }

        static func now() throws(Errno) -> Reading {
            func read(_ clock: Int32) throws(Errno) -> Duration {
                var time = timespec()
                try check(clock_gettime(clock, &time))
                return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
            }
            // The process may have to wait between two readings, which must not look like sleep.
            while true {
                let before = try read(CLOCK_MONOTONIC)
                let boot = try read(CLOCK_BOOTTIME)
                let monotonic = try read(CLOCK_MONOTONIC)
                if monotonic - before < SleepClocks.tolerance { return Reading(boot: boot, monotonic: monotonic) }
            }
        }
    }

    static let tolerance = Duration.milliseconds(50)

    private var asleep: Duration

    public init(_ reading: Reading) { asleep = reading.boot - reading.monotonic }

    /// The suspended time since the last reading; nil for none.
    public mutating func advance(to reading: Reading) -> Duration? {
        let total = reading.boot - reading.monotonic
        guard total - asleep > Self.tolerance else { return nil }
        defer { asleep = total }
        return total - asleep
    }
}
