import CLinux

/// Asks `condition` every few milliseconds until it holds.
///
/// - Parameter what: what is waited for, for the message.
/// - Throws: `LabError.deadline` when `limit` has passed and it still does not hold.
public func waitUntil(
    _ what: @autoclosure () -> String, within limit: Duration, _ condition: () throws(LabError) -> Bool
) throws(LabError) {
    let end = ContinuousClock.now + limit
    while try !condition() {
        if ContinuousClock.now >= end { throw .deadline(waitingFor: what(), limit: limit) }
        pause(.milliseconds(5))
    }
}

/// Blocks this thread. Signals end the pause early.
func pause(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    nanosleep(&time, nil)
}

extension Duration {
    /// Milliseconds, rounded up, as poll(2) takes them.
    var pollMilliseconds: Int32 {
        let (seconds, attoseconds) = components
        let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return Int32(clamping: max(0, milliseconds))
    }
}
