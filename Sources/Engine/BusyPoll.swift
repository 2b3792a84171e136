import SessionProtocol

/// Decides when a loop looks for events again and again for a while instead of sleeping at once.
///
/// A processor that has gone to sleep takes tens of microseconds to wake up, on a virtual machine more than everything that is done for a
/// message. Where answers come sooner than that, not to sleep costs less than sleeping does. Where they do not, what was spent on
/// looking for them is lost: so a loop only does so after a short wait, and after it has been in vain not for the next one, two,
/// four … waits.
struct BusyPoll {
    /// How long a loop looks for events before it sleeps.
    static let limit = Interval.microseconds(50)
    /// A wait that took no longer, the time to wake up included, is one that may have been spent on looking.
    private static let shortWait = Interval.microseconds(100)
    /// Waits that begin with sleep after one in vain, at most.
    private static let longestPause = 64

    private enum Stage {
        /// On a single processor nobody else could do anything meanwhile.
        case never
        /// The last wait was long, or there was none.
        case resting
        case promising
        /// Waits to sleep at once before the next try.
        case pausing(Int)
    }

    private var stage: Stage
    /// How many waits to pass by after the next one in vain.
    private var pause = 1

    init(processors: Int) { stage = processors > 1 ? .resting : .never }

    /// Whether the wait that begins now is to begin with looking.
    mutating func looks() -> Bool {
        switch stage {
        case .promising: return true
        case .never, .resting: return false
        case .pausing(let waits):
            stage = waits > 1 ? .pausing(waits - 1) : .resting
            return false
        }
    }

    /// Looking has found an event.
    mutating func found() { pause = 1 }

    /// Nothing came within the limit.
    mutating func wasInVain() {
        stage = .pausing(pause)
        pause = min(2 * pause, Self.longestPause)
    }

    /// A wait has ended, the last part of it asleep.
    mutating func slept(_ wait: Interval) {
        switch stage {
        case .never, .pausing: return
        case .resting, .promising: stage = wait <= Self.shortWait ? .promising : .resting
        }
    }
}
