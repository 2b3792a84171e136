// Links come, join, become current, retire and are lost.

extension Session {
    /// The transport connection that ``Effect/dial(_:)`` asked for is there.
    public mutating func linkConnected(_ number: LinkNumber, _ now: Instant) {
        guard let index = index(of: number), links[index].state == .connecting else { return }
        links[index].handshake.append(Wire.preface)
        switch phase {
        case .opening(let frame, let sent):
            links[index].handshake.append(frame)
            links[index].state = .opening
            phase = .opening(frame: frame, sent: sent + 1)
        case .open, .farewell:
            links[index].state = .claiming
            emit(.attach(number))
        case .over: emit(.close(number))
        }
    }

    /// The transport connection is gone, or was never had. Nothing that it carried is lost (rule 2).
    ///
    /// - Returns: false when the link was on its way out anyway.
    @discardableResult
    public mutating func linkLost(_ number: LinkNumber, _ failure: LinkFailure, _ now: Instant) -> Bool {
        guard let index = index(of: number) else { return false }
        let link = links.remove(at: index)
        emit(.close(number))
        guard !isOver, !link.isRetired else { return false }
        sender.requeue(link.carried)
        lastFailure = failure
        if let since = link.currentSince, now - since >= Backoff.steadyLink { backoff.reset() }
        noteSuspension(now)
        dialIfNeeded(now)
        return true
    }

    // MARK: Opening

    /// OPENED was right: the session is open, and its key known.
    public mutating func opened(_ answer: Verified<OpenedMessage>, on number: LinkNumber, _ now: Instant) {
        guard let index = index(of: number), case .opening(_, let sent) = phase else { return }
        phase = .open
        instance = answer.message.instance
        if sent == 1 {
            makeCurrent(index, now)
        } else {
            // The acceptor may have answered an OPEN of a link that is lost, so this one is not known to be link 0.
            links[index].state = .claiming
            emit(.attach(number))
        }
    }

    // MARK: Attaching, as opener

    /// The claim that ``Effect/attach(_:)`` asks for; its epoch counts as sent, so the driver stores ``lastEpochSent``
    /// before anything else.
    public mutating func attachClaim(on number: LinkNumber) -> AttachClaim? {
        guard let index = index(of: number), links[index].state == .claiming else { return nil }
        lastEpoch += 1
        links[index].state = .attaching(lastEpoch)
        return claim(link: number, epoch: lastEpoch)
    }

    /// The highest epoch that this end has sent or accepted: what a ledger must hold.
    public var highestEpoch: Epoch { role == .opener ? lastEpoch : epochs.highest }

    /// The sealed ATTACH or ATTACHED for a link.
    public mutating func sendAttach(_ frame: [UInt8], on number: LinkNumber) {
        guard let index = index(of: number) else { return }
        links[index].handshake.append(frame)
    }

    /// ATTACHED was right: the link has joined, and becomes current with this end's next frame (rule 6).
    public mutating func attached(_ answer: Verified<AttachClaim>, on number: LinkNumber, _ now: Instant) {
        let claim = answer.message
        guard let index = index(of: number), case .attaching(let epoch) = links[index].state else { return }
        guard claim.session == id, claim.link == number, claim.role == .acceptor else {
            linkLost(number, .unproven, now)
            return
        }
        if claim.isStale {
            // A number serves one link only, and somebody who has replayed this ATTACH may hold it: dial another.
            if claim.epoch < .max { lastEpoch = max(lastEpoch, claim.epoch) }
            linkLost(number, .staleEpoch, now)
            return
        }
        guard claim.epoch == epoch else {
            linkLost(number, .unproven, now)
            return
        }
        guard take(claim, now), let index = self.index(of: number) else { return }
        makeCurrent(index, now)
        reconnects += 1
        sender.peerAttached(received: claim.received, limit: claim.limit, live: PositionRanges())
        if case .farewell = phase, abortByPeer != nil { sayAborted() }
    }

    // MARK: Attaching, as acceptor

    /// What becomes of an ATTACH whose proof was right.
    public enum Joining: Sendable {
        /// The link is the session's; send the sealed answer with ``Session/sendAttach(_:on:)``.
        case joined(AttachClaim)
        /// The epoch is old: the link is of no use behind the sealed answer, and the opener dials another.
        case stale(AttachClaim)
        /// The session is over.
        case gone(GoneMessage)
    }

    /// A link joins. `decoder` has read its ATTACH; `replacing` is the number under which the link was known before,
    /// if it has carried OPEN.
    public mutating func join(
        _ attach: Verified<AttachClaim>, _ decoder: FrameDecoder, replacing old: LinkNumber? = nil, _ now: Instant
    ) -> Joining {
        let claim = attach.message
        guard !isOver else { return .gone(epitaph ?? goneMessage(.unknown)) }
        guard claim.role == .opener, claim.session == id else { return .gone(goneMessage(.unproven)) }
        guard epochs.accept(claim.epoch) else {
            return .stale(self.claim(link: claim.link, epoch: epochs.highest, isStale: true))
        }
        // The claim may hold the last acknowledgement that the session waited for.
        guard take(claim, now), !isOver else { return .gone(epitaph ?? goneMessage(.violation)) }
        // A number serves one link only; an opener that reuses one is broken.
        guard index(of: claim.link) == nil || claim.link == old else { return .gone(goneMessage(.violation)) }
        timers[.confirmation] = nil
        if let old { links.removeAll { $0.number == old } }
        makeRoomForLink()
        sender.peerAttached(received: claim.received, limit: claim.limit, live: carriedByLiveLinks)
        links.append(Link(number: claim.link, epoch: claim.epoch, state: .joined, decoder: decoder, now: now))
        noteJoined(now)
        reconnects += 1
        return .joined(self.claim(link: claim.link, epoch: claim.epoch))
    }

    /// An opener whose links die unseen leaves them behind here; the oldest makes room.
    private mutating func makeRoomForLink() {
        guard links.count >= Session.maximumLinks else { return }
        guard let oldest = links.first(where: { $0.state != .current }) else { return }
        emit(.close(oldest.number))
        links.removeAll { $0.number == oldest.number }
    }

    /// A link that has carried OPEN attaches like any other, with a decoder that goes on where it is.
    public mutating func rejoin(
        _ attach: Verified<AttachClaim>, on number: LinkNumber, _ now: Instant
    ) -> Joining {
        guard let index = index(of: number) else { return .gone(goneMessage(.unknown)) }
        return join(attach, links[index].decoder, replacing: number, now)
    }

    // MARK: Becoming current

    /// New data goes out on this link from now on. The opener retires the others with LEAVE; the acceptor, which
    /// follows the opener, lets them be for ``handshakeLimit``, since they may still bring bytes. One that has joined
    /// with a newer epoch stays: the frame that makes this one current has come late, and the newer one's will come.
    mutating func makeCurrent(_ index: Int, _ now: Instant) {
        for other in links.indices where other != index && links[other].hasJoined {
            let isNewer = links[other].state == .joined && links[other].epoch > links[index].epoch
            if role == .acceptor, isNewer { continue }
            sender.requeue(links[other].carried)
            links[other].carried = PositionRanges()
            links[other].state = role == .opener ? .leaving : .retiring
            links[other].handshakeDeadline = now + Session.handshakeLimit
        }
        links[index].state = .current
        links[index].handshakeDeadline = nil
        links[index].lastHeard = now
        links[index].currentSince = now
        links[index].owesFrame = true
        armHandshakeTimer()
        if timers[.idle] == nil { timers[.idle] = now + Session.idlePing }
        if role == .opener { noteJoined(now) }
    }

    // MARK: Dialling

    /// Makes sure that an opener without a link, or one on its way, will dial.
    mutating func dialIfNeeded(_ now: Instant) {
        guard role == .opener, !isOver, timers[.dial] == nil else { return }
        guard !links.contains(where: { !$0.isRetired }) else { return }
        let due = backoff.next(now)
        if due <= now { dialNow(now) } else { timers[.dial] = due }
    }

    mutating func dialNow(_ now: Instant) {
        guard !isOver else { return }
        var link = Link(number: nextLinkNumber, state: .connecting, now: now)
        link.handshakeDeadline = now + Session.handshakeLimit
        nextLinkNumber += 1
        links.append(link)
        armHandshakeTimer()
        emit(.dial(link.number))
    }

    mutating func closeOverdueLinks(_ now: Instant) {
        for link in links {
            guard let deadline = link.handshakeDeadline, deadline <= now else { continue }
            linkLost(link.number, .handshakeTimeout, now)
        }
        armHandshakeTimer()
    }

    mutating func armHandshakeTimer() {
        timers[.handshake] = nil
        for link in links {
            guard let deadline = link.handshakeDeadline else { continue }
            timers[.handshake] = min(deadline, timers[.handshake] ?? deadline)
        }
    }

    mutating func pingIfIdle(_ now: Instant) {
        guard let index = links.firstIndex(where: { $0.state == .current }) else { return }
        let due = links[index].lastHeard + Session.idlePing
        if due <= now { links[index].wantsPing = true }
        timers[.idle] = max(due, now + Session.idlePing / 2)
    }

    // MARK: Small parts

    func index(of number: LinkNumber) -> Int? { links.firstIndex { $0.number == number } }

    private var carriedByLiveLinks: PositionRanges {
        var carried = PositionRanges()
        for link in links where link.hasJoined { carried.insert(link.carried) }
        return carried
    }

    private mutating func claim(link: LinkNumber, epoch: Epoch, isStale: Bool = false) -> AttachClaim {
        AttachClaim(
            role: role, session: id, link: link, epoch: epoch, received: receiver.received,
            acknowledged: receiver.delivered, window: receiver.promise(), isStale: isStale)
    }

    /// Checks and takes the positions of a proven claim (rule 3); false when that has ended the session.
    private mutating func take(_ claim: AttachClaim, _ now: Instant) -> Bool {
        guard claim.received <= sender.next else {
            end(.violation(.receivedUnsent), saying: .violation, now)
            return false
        }
        return acknowledge(claim.acknowledged, limit: claim.acknowledged, now)
    }

    private mutating func noteJoined(_ now: Instant) {
        suspendedSince = nil
        lastFailure = nil
        timers[.suspension] = nil
        timers[.dial] = nil
    }

    /// Starts the suspension limit when the last link of an open session is gone.
    mutating func noteSuspension(_ now: Instant) {
        guard !hasLink, suspendedSince == nil else { return }
        suspendedSince = now
        timers[.suspension] = now + configuration.suspendLimit
    }
}
