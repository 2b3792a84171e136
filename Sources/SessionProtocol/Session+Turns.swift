// Which links carry data (rules 6 and 9): the opener decides, and tells the acceptor in turns.

extension Session {
    /// New data goes out on this link from now on: alone, or beside the others, as the mode says.
    mutating func makeCurrent(_ index: Int, _ now: Instant) {
        switch mode {
        case .failover:
            for other in links.indices where other != index && links[other].state == .current { demote(other) }
            give(index, .alone, now)
        case .mirror: give(index, isFirst(index) ? .alone : .mirrored, now)
        case .stripe:
            // What a suspect link carried while it was the only one, another can carry now.
            for other in links.indices where links[other].state == .current && links[other].liveness.isSuspect {
                demote(other)
            }
            give(index, isFirst(index) ? .alone : .striped, now)
        }
    }

    /// No other healthy link is current: what the acceptor may still think to be current is not, say the link of an OPEN
    /// whose answer was lost.
    private func isFirst(_ index: Int) -> Bool {
        !links.contains { $0.state == .current && $0.isHealthy && $0.number != links[index].number }
    }

    /// The opener's word that a link is current. Turns grow through the whole session, also after a restart of this end,
    /// which knows its last epoch but not its last turn.
    private mutating func give(_ index: Int, _ part: Turn.Part, _ now: Instant) {
        turn = max(turn + 1, lastEpoch << 20)
        links[index].owedTurn = Turn(number: turn, part: part)
        // A turn that is lost with its link must be given again: whether it has arrived, PONG tells.
        if hasHadLink { links[index].wantsPing = true }
        becomeCurrent(index, now)
    }

    private mutating func becomeCurrent(_ index: Int, _ now: Instant) {
        if links[index].state != .current {
            let isBesideOthers = mode != .failover && links.contains { $0.state == .current }
            if links[index].currentSince == nil, hasHadLink, !isBesideOthers { reconnects += 1 }
            hasHadLink = true
            links[index].state = .current
            links[index].currentSince = now
            startMirroring(index)
        }
        links[index].handshakeDeadline = nil
        links[index].abortSent = false
        links[index].owesFrame = true
        noteJoined(now)
    }

    /// A link that is to carry everything begins with what the peer lacks.
    private mutating func startMirroring(_ index: Int) {
        guard mode == .mirror else { return }
        links[index].mirrored = sender.peerReceived
        sender.forgetResend()
    }

    /// The link carries nothing new any more, but goes on being read.
    private mutating func demote(_ index: Int) {
        links[index].state = .joined
        requeue(links[index])
        links[index].carried = PositionRanges()
    }

    // MARK: As opener

    /// Failover: another link takes the place of a current one that is gone or suspect, if there is one.
    mutating func replaceCurrent(_ now: Instant) {
        if role == .opener, mode == .failover {
            let current = links.firstIndex { $0.state == .current }
            if current.map({ links[$0].liveness.isSuspect }) ?? true, let best = bestLink { makeCurrent(best, now) }
        }
        dialIfNeeded(now)
    }

    /// Mirror and stripe: a link that was current is not any more. The acceptor learns it from fresh turns of the others:
    /// older ones may have been lost with their links.
    mutating func shareAnew(_ now: Instant) {
        guard role == .opener, mode != .failover else { return }
        let healthy = links.indices.filter { links[$0].state == .current && links[$0].isHealthy }
        for index in healthy {
            give(index, index == healthy.first ? .alone : mode == .mirror ? .mirrored : .striped, now)
        }
    }

    /// The healthy link with the shortest round trip; of equals the one on the earlier path.
    private var bestLink: Int? {
        var best: Int?
        for index in links.indices where links[index].isHealthy {
            guard let known = best else {
                best = index
                continue
            }
            let (new, old) = (links[index].liveness.roundTrip, links[known].liveness.roundTrip)
            if (new.recentLowest ?? .hours(1)) < (old.recentLowest ?? .hours(1)) { best = index }
        }
        return best
    }

    /// Failover: goes over to a path that is clearly better, though not back and forth.
    mutating func preferBetterPath(_ now: Instant) {
        guard role == .opener, mode == .failover, paths.count > 1, phase == .open,
            now - lastPreference >= Session.preferencePeriod,
            let current = links.firstIndex(where: { $0.state == .current }), let best = bestLink, best != current,
            let present = links[current].liveness.roundTrip.recentLowest,
            let better = links[best].liveness.roundTrip.recentLowest,
            better + better / 4 + Session.preferenceMargin < present
        else { return }
        lastPreference = now
        makeCurrent(best, now)
    }

    /// Stripe: a suspect link is left out, unless it is the only one.
    mutating func stripeWithout(_ index: Int, _ now: Instant) {
        guard !isFirst(index) else { return }
        demote(index)
        shareAnew(now)
    }

    /// This end retires a link: LEAVE, and nothing behind it.
    mutating func leave(_ index: Int, _ now: Instant) {
        requeue(links[index])
        links[index].carried = PositionRanges()
        links[index].state = .leaving
        links[index].handshakeDeadline = now + Session.handshakeLimit
        armHandshakeTimer()
    }

    // MARK: As acceptor

    /// The opener has given a link its part. What it said later on another link may have been heard earlier.
    mutating func take(_ turn: Turn, on index: Int, _ now: Instant) {
        guard turn.number > self.turn, turn.number > links[index].turn else { return }
        links[index].turn = turn.number
        isRestarted = false
        switch turn.part {
        case .alone:
            self.turn = turn.number
            for other in links.indices
            where other != index && links[other].state == .current && links[other].turn < turn.number {
                demote(other)
            }
        case .mirrored: use(.mirror)
        case .striped: use(.stripe)
        }
        becomeCurrent(index, now)
    }

    /// The opener's mode. One that has always been the same changes with the first turn only.
    private mutating func use(_ mode: LinkMode) {
        guard mode != self.mode else { return }
        if self.mode == .mirror { sender.requeueAll() }
        self.mode = mode
        for index in links.indices where links[index].state == .current { startMirroring(index) }
    }

    static let preferencePeriod = Interval.seconds(10)
    static let preferenceMargin = Interval.milliseconds(2)
}
