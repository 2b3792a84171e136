// Links that fail in silence (rule 10). Only the opener judges, since only it can dial; the acceptor follows it.

extension Session {
    /// What the driver has found on the link that ``Effect/examine(_:)`` named.
    public mutating func linkExamined(_ number: LinkNumber, _ vitals: LinkVitals, _ now: Instant) {
        guard let index = index(of: number), !isOver else { return }
        switch links[index].liveness.examined(vitals, now) {
        case .fine: break
        case .wantsPing: links[index].wantsPing = true
        case .turnedSuspect: turnedSuspect(index, now)
        }
        armLivenessTimer()
    }

    /// The link cannot work any more, though nobody has said so: its local address or interface is gone.
    public mutating func suspect(_ number: LinkNumber, _ now: Instant) {
        guard role == .opener, let index = index(of: number), !isOver else { return }
        switch links[index].state {
        case .connecting, .connectingEarly, .claiming, .opening, .attaching: linkLost(number, .silent, now)
        case .joined, .current:
            guard !links[index].liveness.isSuspect else { return }
            links[index].liveness.suspect()
            turnedSuspect(index, now)
        case .leaving: break
        }
    }

    /// Asks every link now: a neighbour to the same peer has failed, or the network has changed.
    public mutating func checkLinks(_ now: Instant) {
        guard role == .opener else { return }
        for index in links.indices where links[index].isHealthy { links[index].wantsPing = true }
    }

    /// Data goes on elsewhere if it can, and a rival is dialled on the same path; the link stays, since it may answer
    /// before the rival does.
    private mutating func turnedSuspect(_ index: Int, _ now: Instant) {
        let link = links[index]
        emit(.suspected(link.number))
        resetBackoff(of: link.path)
        if link.state == .current {
            switch mode {
            case .failover: replaceCurrent(now)
            case .mirror: break
            case .stripe: stripeWithout(index, now)
            }
        }
        dialIfNeeded(now)
    }

    /// A suspect link has been heard again.
    mutating func recovered(_ index: Int, _ now: Instant) {
        let link = links[index]
        guard link.hasJoined else { return }
        // A rival that is just joining leaves when it has.
        abandonRivals(of: link.number, on: link.path)
        dialIfNeeded(now)
        guard let index = self.index(of: link.number) else { return }
        switch mode {
        case .failover: replaceCurrent(now)
        // The acceptor may have been told meanwhile that another one is alone.
        case .mirror, .stripe: makeCurrent(index, now)
        }
    }

    // MARK: Time

    mutating func examineLinks(_ now: Instant) {
        for index in links.indices where links[index].hasJoined {
            guard let due = links[index].liveness.examinationDue, due <= now else { continue }
            links[index].liveness.beginExamination()
            emit(.examine(links[index].number))
        }
        armLivenessTimer()
    }

    private mutating func armLivenessTimer() {
        timers[.liveness] = nil
        for index in links.indices where links[index].hasJoined { noteExamination(on: index) }
    }

    private mutating func noteExamination(on index: Int) {
        guard role == .opener, let due = links[index].liveness.examinationDue else { return }
        timers[.liveness] = min(due, timers[.liveness] ?? due)
    }

    /// DATA or FIN goes or comes on a link. The timer is not moved with each: it finds out by itself that it came early.
    mutating func exchanged(on index: Int, _ now: Instant) {
        links[index].liveness.exchanged(now)
        if timers[.liveness] == nil { noteExamination(on: index) }
        // As long as it waits for the acceptor's word, an opener asks more often.
        if let idle = timers[.idle], idle - now > Session.waitingPing { timers[.idle] = now + Session.waitingPing }
    }

    /// Bytes of whatever kind have come on a link.
    mutating func heard(on index: Int, _ now: Instant) {
        guard links[index].liveness.heard(now) else { return }
        // A suspect link had nothing more to be examined for.
        noteExamination(on: index)
        recovered(index, now)
    }

    mutating func notePing(on index: Int, _ now: Instant) {
        links[index].liveness.pinged(now)
        noteExamination(on: index)
    }

    /// Of a link that is silent. Nobody but the opener can replace it, so it asks more often where it waits: for its turn,
    /// or for what the acceptor has yet to acknowledge, which may be said on a link that a NAT has forgotten.
    private func pingPeriod(of link: Link) -> Interval {
        guard role == .opener else { return idlePing }
        if link.state == .joined { return Session.standbyPing }
        return sender.acknowledged < sender.next ? Session.waitingPing : idlePing
    }

    var idlePing: Interval { role == .opener ? Session.idlePing : Session.acceptorPing }

    mutating func pingIdleLinks(_ now: Instant) {
        var next = now + idlePing
        for index in links.indices where links[index].hasJoined {
            let period = pingPeriod(of: links[index])
            let due = (links[index].liveness.lastHeard + period).roundedDown(to: Session.pingPace)
            if due <= now { links[index].wantsPing = true }
            next = min(next, due <= now ? now + period : due)
        }
        if hasLink { timers[.idle] = next.roundedDown(to: Session.pingPace) }
    }
}
