// Dialling: the opener keeps a link on each of its paths.

extension Session {
    /// A way to the acceptor has come, say an interface with an address. A path that is known already is dialled afresh.
    public mutating func addPath(_ id: PathID, _ now: Instant) {
        guard role == .opener, !isOver else { return }
        if let index = paths.firstIndex(where: { $0.id == id }) {
            paths[index].backoff.reset()
            paths[index].nextDial = .none
        } else {
            paths.append(path(named: id))
        }
        dialIfNeeded(now)
    }

    /// A way to the acceptor has gone. Its links retire; a session without any path waits for the next one.
    public mutating func removePath(_ id: PathID, _ now: Instant) {
        guard role == .opener, !isOver, paths.contains(where: { $0.id == id }) else { return }
        paths.removeAll { $0.id == id }
        for link in links where link.path == id {
            guard let index = index(of: link.number) else { continue }
            if link.hasJoined { leave(index, now) } else if link.isOnItsWay { abandon(index) }
        }
        armDialTimer()
        noteSuspension(now)
        shareAnew(now)
        replaceCurrent(now)
    }

    func path(named id: PathID) -> Path {
        // Paths of one session must not dial in step.
        Path(id: id, backoff: Backoff(seed: configuration.seed &+ UInt64(id.value)))
    }

    /// Progress on a link says that its path is worth dialling at once when the link breaks.
    mutating func resetBackoff(of id: PathID) {
        for index in paths.indices where paths[index].id == id { paths[index].backoff.reset() }
    }

    /// Something has changed in this host's network: whatever is waited for may have come, and whatever was there gone.
    public mutating func networkChanged(_ now: Instant) {
        guard role == .opener, !isOver else { return }
        for index in paths.indices {
            paths[index].backoff.reset()
            paths[index].nextDial = .none
            dialAfresh(index, now)
        }
        checkLinks(now)
        dialIfNeeded(now)
    }

    /// A dial that is under way may have begun from an address that is gone, or to nowhere. It is let be, but for the
    /// oldest of too many, and another goes beside it; not so often that none has the time to be answered.
    private mutating func dialAfresh(_ index: Int, _ now: Instant) {
        let id = paths[index].id
        guard wantsLink(id), let newest = links.last(where: { isUnderWay($0, on: id) }) else { return }
        if links.count(where: { isUnderWay($0, on: id) }) >= maximumDials {
            guard now - newest.stageSince >= Backoff.firstDelay,
                let oldest = links.firstIndex(where: { isUnderWay($0, on: id) })
            else { return }
            abandon(oldest)
        }
        dialNow(index, now)
    }

    // MARK: When to dial

    /// Makes sure that an opener dials each path that lacks a healthy link.
    mutating func dialIfNeeded(_ now: Instant) {
        guard role == .opener, !isOver else { return }
        for index in paths.indices { plan(index, now) }
        armDialTimer()
    }

    mutating func dialDuePaths(_ now: Instant) {
        guard !isOver else { return }
        for index in paths.indices {
            guard let due = paths[index].dialDue, due <= now else { continue }
            paths[index].nextDial = .none
            if wantsLink(paths[index].id), !links.contains(where: { isUnderWay($0, on: paths[index].id) }) {
                dialNow(index, now)
            }
            plan(index, now)
        }
        armDialTimer()
    }

    private func wantsLink(_ id: PathID) -> Bool { !links.contains { $0.path == id && $0.isHealthy } }

    private func isUnderWay(_ link: Link, on id: PathID) -> Bool { link.path == id && link.isOnItsWay }

    /// One dial after another until the path has a link: behind each failure after the backoff; beside one that has no
    /// answer, after the patience for it.
    private mutating func plan(_ index: Int, _ now: Instant) {
        let id = paths[index].id
        guard wantsLink(id) else {
            paths[index].nextDial = .none
            return
        }
        guard let newest = links.last(where: { isUnderWay($0, on: id) }) else {
            if case .afterBackoff = paths[index].nextDial { return }
            let stagger = knowsNoLinkYet ? Session.pathStagger * UInt64(index) : .zero
            let due = paths[index].backoff.next(now) + stagger
            if due <= now {
                dialNow(index, now)
                plan(index, now)
            } else {
                paths[index].nextDial = .afterBackoff(due)
            }
            return
        }
        paths[index].nextDial = .none
        let dials = links.count(where: { isUnderWay($0, on: id) })
        guard dials < maximumDials, paths[index].backoff.isEager(now),
            let patience = patience(with: newest, on: paths[index])
        else { return }
        // A rival that has failed at once is followed no sooner than one without an answer.
        let due = max(newest.stageSince, paths[index].lastDial) + patience
        if due <= now {
            dialNow(index, now)
            plan(index, now)
        } else {
            paths[index].nextDial = .besideUnanswered(due)
        }
    }

    /// How long an unanswered dial stays the only one; nil for as long as it lasts.
    private func patience(with link: Link, on path: Path) -> Interval? {
        switch link.state {
        // At another of the acceptor's addresses there may be no others.
        case .connecting where link.isPutOff && configuration.destinations == 1: nil
        case .connecting, .connectingEarly:
            knowsNoLinkYet && configuration.destinations == 1
                ? max(path.dialPatience, Path.openingPatience) : path.dialPatience
        case .claiming, .attaching: patienceForAnswer(of: link)
        case .opening:
            // The acceptor answers when its target has; once it has done so on another link, at once.
            if case .opening = phase { nil } else { patienceForAnswer(of: link) }
        case .joined, .current, .leaving: nil
        }
    }

    private func patienceForAnswer(of link: Link) -> Interval {
        max(Liveness.minimumPatience, (link.liveness.roundTrip.smoothed ?? .zero) * 4)
    }

    private var maximumDials: Int {
        max(Path.maximumDials, min(configuration.destinations, Path.maximumDialsToMany))
    }

    private var knowsNoLinkYet: Bool {
        if case .opening = phase { return true }
        return isRestarted
    }

    private mutating func dialNow(_ index: Int, _ now: Instant) {
        var link = Link(number: nextLinkNumber, on: paths[index].id, state: .connecting, now: now)
        link.handshakeDeadline = now + Session.handshakeLimit
        nextLinkNumber += 1
        paths[index].lastDial = now
        links.append(link)
        armHandshakeTimer()
        emit(.dial(link.number, link.path))
    }

    /// The first link is there: the other paths need not wait for their turn any longer.
    mutating func dialOtherPaths(_ now: Instant) {
        for index in paths.indices where wantsLink(paths[index].id) && paths[index].dialDue != nil {
            paths[index].backoff.reset()
            paths[index].nextDial = .none
        }
        dialIfNeeded(now)
    }

    mutating func armDialTimer() {
        timers[.dial] = nil
        for path in paths {
            guard let due = path.dialDue else { continue }
            timers[.dial] = min(due, timers[.dial] ?? due)
        }
    }

    /// Gives up a link that has not joined, and is not needed any more.
    mutating func abandon(_ index: Int) {
        emit(.close(links[index].number))
        links.remove(at: index)
    }

    /// One connection on a path is made or works again: its rivals that have said nothing yet are not needed.
    mutating func abandonRivals(of number: LinkNumber, on id: PathID) {
        while let index = links.firstIndex(where: {
            $0.path == id && $0.number != number && ($0.isConnecting || $0.state == .claiming)
        }) {
            abandon(index)
        }
    }
}
