import SessionProtocol

/// When the bytes of one direction, which somebody waits for, last came nearer to their end.
struct Watch {
    var progress: UInt64 = 0
    var movedAt = Instant(nanoseconds: 0)
    var isAwaited = false
}

// How long anything may stand still: as long as a fault lasts, and then no longer than it takes to notice and to mend.
extension World {
    /// Something happens to the network or a process that a session may need time for, up to `end`.
    func disturb(until end: Instant? = nil) { quietSince = max(quietSince, end ?? now) }

    func watchProgress() {
        guard let acceptor else { return }
        watch(from: opener, to: acceptor)
        watch(from: acceptor, to: opener)
    }

    private func watch(from writer: Endpoint, to reader: Endpoint) {
        let index = writer.role.index
        let progress = writer.session.acknowledged &+ reader.legTaken &+ reader.consumed
        // Somebody waits only for bytes that have a place to go to.
        let isAwaited =
            writer.session.undelivered > 0 && !reader.applicationIsDone && reader.buffered < reader.plan.legCapacity
        if isAwaited != watches[index].isAwaited || progress != watches[index].progress {
            watches[index] = Watch(progress: progress, movedAt: now, isAwaited: isAwaited)
        }
        guard isAwaited else { return }
        let standsSince = max(watches[index].movedAt, quietSince)
        // The opener waits for bytes to arrive, or for the acceptor to say something of its own.
        let end = min(writer.session.taken + (writer.hasFinished ? 1 : 0), reader.promised)
        let isUnderWay = writer.role == .opener && reader.session.receivedPosition < end
        guard now - standsSince > pauseLimit(isUnderWay: isUnderWay) else { return }
        complain("nothing comes from the \(writer.role) since \(standsSince.nanoseconds) ns: \(state)")
    }

    /// What docs/protocol.md allows: the patience with a silent link (rule 10), a rival's way to being current, and what
    /// the kernels and the backoff add when a path comes back.
    private func pauseLimit(isUnderWay: Bool) -> Interval {
        let patience = max(Interval.seconds(1), longestRoundTrip * 4)
        var limit = patience + longestRoundTrip * 6 + .seconds(2)
        // An opener that has nothing under way learns of a silent link when it pings it.
        if !isUnderWay { limit = limit + Session.idlePing + patience }
        // Who has dialled in vain for long does so less often.
        if scenario.faults.healsAfter > Interval.seconds(30) { limit = limit + .seconds(6) }
        return limit
    }
}
