import SessionProtocol

/// When the bytes of one direction, which somebody waits for, last came nearer to their end.
struct Watch {
    var progress: UInt64 = 0
    var movedAt = Instant(nanoseconds: 0)
    var isAwaited = false
}

// How long anything may stand still: as long as a fault lasts, and then no longer than it takes to notice and to mend.
extension World {
    /// Something happens that a session may need time for: to a path, or to a process and so to all of them. Something
    /// that lasts is over at `end`.
    func disturb(_ path: Int? = nil, until end: Instant? = nil) {
        for index in paths.indices where path ?? index == index {
            paths[index].quietSince = max(paths[index].quietSince, end ?? now)
            if let end { paths[index].returnedAt = max(paths[index].returnedAt ?? end, end) }
        }
    }

    /// Since when some path can be dialled and is left in peace.
    private var quietSince: Instant {
        paths.filter { $0.address != nil && !$0.isRemoved }.map { $0.quietSince }.min() ?? now
    }

    func watchProgress() {
        guard let acceptor, opener.key != nil else { return watchOpening() }
        watch(from: opener, to: acceptor)
        watch(from: acceptor, to: opener)
    }

    /// An OPEN that is lost without a sign costs its handshake's limit.
    private func watchOpening() {
        guard opener.ending == nil else { return }
        let since = max(quietSince, opener.startedAt)
        let limit = Session.handshakeLimit + scenario.targetDelay + mendingTime
        if now - since > limit { complain("the session is not open since \(since.nanoseconds) ns: \(state)") }
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
        let limit = patience(with: writer, reader) + mendingTime
        if now - standsSince > limit {
            complain("nothing comes from the \(writer.role) since \(standsSince.nanoseconds) ns: \(state)")
        }
        if let limit = mirrorLimit(since: watches[index].movedAt), now - watches[index].movedAt > limit {
            complain("no mirror brings anything from the \(writer.role) for \(limit.nanoseconds) ns: \(state)")
        }
    }

    /// With a link on a path that was in peace long before, no fault of another path delays anything: a few round trips,
    /// and the delay of an acknowledgement.
    private func mirrorLimit(since start: Instant) -> Interval? {
        guard scenario.mode == .mirror, let acceptor else { return nil }
        var limit: Interval?
        for link in opener.links where opener.session.isCurrent(link.number) {
            let path = paths[connections[link.connection].path]
            let roundTrip = path.longestRoundTrip(scenario)
            guard let other = acceptor.link(over: link.connection),
                acceptor.session.isCurrent(acceptor.links[other].number),
                max(path.quietSince, connections[link.connection].startedAt) + .seconds(2) + roundTrip * 4 < start
            else { continue }
            limit = min(limit ?? .hours(1), roundTrip * 3 + .milliseconds(250))
        }
        return limit
    }

    /// How long docs/protocol.md (rule 10) lets a silent link be taken for one that works.
    private func patience(with writer: Endpoint, _ reader: Endpoint) -> Interval {
        let patience = max(Interval.seconds(1), longestRoundTrip * 4)
        // An opener that has nothing under way learns of a silent link when it pings it, which a PING of the acceptor's
        // puts off once, if only the opener's own direction is silent.
        guard writer.role == .opener else { return Session.acceptorPing * 2 + patience }
        let end = min(writer.session.taken + (writer.hasFinished ? 1 : 0), reader.promised)
        return reader.session.receivedPosition < end ? patience : Session.waitingPing + patience
    }

    /// What a rival takes to connect, to attach, and to bring bytes and their acknowledgement; and what is added while a
    /// path comes back.
    private var mendingTime: Interval {
        var time = longestRoundTrip * 4 + .milliseconds(100)
        // The kernels try again once in a second.
        if let returnedAt = paths.compactMap({ $0.returnedAt }).max(), now - returnedAt < .seconds(60) {
            time = time + TransportCounters.longestTimeout + World.synInterval
        }
        // Who has dialled in vain for long does so less often.
        if scenario.faults.healsAfter > Interval.seconds(30) { time = time + .seconds(6) }
        return time
    }
}
