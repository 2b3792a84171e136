// Links come, join, become current, retire and are lost.

extension Session {
    /// The driver puts off what ``Effect/dial(_:_:)`` asked for, as other sessions are dialling the same acceptor. Nothing is
    /// overdue until ``dialBegins(_:_:)``, and no rival would be sooner.
    public mutating func dialPutOff(_ number: LinkNumber, _ now: Instant) {
        guard let index = index(of: number), links[index].state == .connecting else { return }
        links[index].isPutOff = true
        links[index].handshakeDeadline = nil
        armHandshakeTimer()
        dialIfNeeded(now)
    }

    /// The driver does now what it has put off: its time begins.
    ///
    /// - Returns: false if it is not wanted any more.
    public mutating func dialBegins(_ number: LinkNumber, _ now: Instant) -> Bool {
        guard let index = index(of: number), links[index].state == .connecting else { return false }
        links[index].isPutOff = false
        links[index].stageSince = now
        links[index].handshakeDeadline = now + Session.handshakeLimit
        armHandshakeTimer()
        dialIfNeeded(now)
        return true
    }

    /// The transport connection that ``Effect/dial(_:_:)`` asked for is not there yet, but takes the link's first words with its
    /// first packet: an open session says ATTACH. The link goes on counting as unanswered until ``linkConnected(_:roundTrip:_:)``.
    public mutating func linkTakesFirstWords(_ number: LinkNumber) {
        guard isOpen, let index = index(of: number), links[index].state == .connecting else { return }
        links[index].handshake.append(Wire.preface)
        links[index].state = .connectingEarly(nil)
        emit(.attach(number))
    }

    /// The transport connection that ``Effect/dial(_:_:)`` asked for is there; `roundTrip` is the transport's first
    /// measurement, if it has one.
    public mutating func linkConnected(_ number: LinkNumber, roundTrip: Interval?, _ now: Instant) {
        guard let index = index(of: number), links[index].isConnecting else { return }
        if let roundTrip { links[index].liveness.sampleRoundTrip(roundTrip, now) }
        links[index].stageSince = now
        let path = links[index].path
        for index in paths.indices where paths[index].id == path { paths[index].roundTrip = roundTrip }
        if case .connectingEarly(let epoch) = links[index].state {
            links[index].state = epoch.map { .attaching($0) } ?? .claiming
        } else {
            sayFirstWords(index)
        }
        abandonRivals(of: number, on: path)
        dialIfNeeded(now)
    }

    private mutating func sayFirstWords(_ index: Int) {
        links[index].handshake.append(Wire.preface)
        switch phase {
        case .opening(let frame, let sent):
            links[index].handshake.append(frame)
            links[index].state = .opening
            phase = .opening(frame: frame, sent: sent + 1)
        case .open, .farewell:
            links[index].state = .claiming
            emit(.attach(links[index].number))
        case .over: emit(.close(links[index].number))
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
        guard !isOver, link.state != .leaving else { return false }
        requeue(link)
        lastFailure = failure
        if let since = link.currentSince, now - since >= Backoff.steadyLink { resetBackoff(of: link.path) }
        noteSuspension(now)
        if link.state == .current { shareAnew(now) }
        replaceCurrent(now)
        return true
    }

    // MARK: Opening

    /// OPENED was right: the session is open, and its key known.
    public mutating func opened(_ answer: Verified<OpenedMessage>, on number: LinkNumber, _ now: Instant) {
        guard let index = index(of: number), case .opening(_, let sent) = phase else { return }
        phase = .open
        instance = answer.message.instance
        let granted = Interval.seconds(UInt64(answer.message.suspendLimit))
        configuration.suspendLimit = min(configuration.suspendLimit, granted)
        defer { dialOtherPaths(now) }
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
        guard let index = index(of: number) else { return nil }
        let isUnanswered = links[index].state == .connectingEarly(nil)
        guard isUnanswered || links[index].state == .claiming else { return nil }
        lastEpoch += 1
        links[index].state = isUnanswered ? .connectingEarly(lastEpoch) : .attaching(lastEpoch)
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
        guard take(claim, on: number, now) else { return }
        if claim.isRestarted { forgetOtherLinks(than: number) }
        guard let index = self.index(of: number) else { return }
        links[index].state = .joined
        links[index].handshakeDeadline = nil
        takePositions(of: claim)
        noteJoined(now)
        settleIn(number, now)
        if isRestarted { dialOtherPaths(now) } else { dialIfNeeded(now) }
        isRestarted = false
        sayFarewell()
    }

    /// A link that has just joined takes its place, or leaves, if it was a rival of one that has answered meanwhile.
    private mutating func settleIn(_ number: LinkNumber, _ now: Instant) {
        guard let index = index(of: number) else { return }
        let path = links[index].path
        let rivals = links.filter { $0.path == path && $0.number != number && $0.hasJoined }
        if rivals.contains(where: { $0.isHealthy }) { return leave(index, now) }
        let current = links.first { $0.state == .current }
        if mode != .failover || current == nil || current?.liveness.isSuspect == true {
            makeCurrent(index, now)
        } else {
            // How long its round trip is, decides whether it is the better one.
            links[index].wantsPing = true
        }
        for rival in rivals {
            guard let index = self.index(of: rival.number) else { continue }
            leave(index, now)
            shareAnew(now)
        }
        abandonRivals(of: number, on: path)
    }

    /// The peer's process has died, and with it every link that it had.
    private mutating func forgetOtherLinks(than number: LinkNumber?) {
        for link in links where link.number != number && (link.hasJoined || link.state == .leaving) {
            emit(.close(link.number))
        }
        links.removeAll { $0.number != number && ($0.hasJoined || $0.state == .leaving) }
    }

    private mutating func takePositions(of claim: AttachClaim) {
        sender.peerAttached(
            received: claim.received, limit: claim.limit, live: carriedByLiveLinks, isRestarted: claim.isRestarted)
        if mode == .mirror, links.contains(where: { $0.state == .current }) { sender.forgetResend() }
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
        guard take(claim, on: old, now), !isOver else { return .gone(epitaph ?? goneMessage(.violation)) }
        if claim.isRestarted {
            // Whatever the dead process has sent may still arrive.
            forgetOtherLinks(than: nil)
            epochs = EpochWindow(highest: claim.epoch)
        }
        // A number serves one link only; an opener that reuses one is broken.
        guard index(of: claim.link) == nil || claim.link == old else { return .gone(goneMessage(.violation)) }
        timers[.confirmation] = nil
        if let old { links.removeAll { $0.number == old } }
        makeRoomForLink()
        takePositions(of: claim)
        links.append(Link(number: claim.link, state: .joined, decoder: decoder, now: now))
        noteJoined(now)
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

    // MARK: Small parts

    func index(of number: LinkNumber) -> Int? { links.firstIndex { $0.number == number } }

    private var carriedByLiveLinks: PositionRanges {
        var carried = PositionRanges()
        for link in links where link.hasJoined { carried.insert(link.carried) }
        return carried
    }

    /// What a link carried that is no longer current is sent again, unless each of the others carries everything.
    mutating func requeue(_ link: Link) {
        if mode == .mirror, links.contains(where: { $0.state == .current && $0.number != link.number }) { return }
        sender.requeue(link.carried)
    }

    private mutating func claim(link: LinkNumber, epoch: Epoch, isStale: Bool = false) -> AttachClaim {
        AttachClaim(
            role: role, session: id, link: link, epoch: epoch, received: receiver.received,
            acknowledged: receiver.delivered, window: receiver.promise(), isStale: isStale, isRestarted: isRestarted)
    }

    /// Checks and takes the positions of a proven claim (rule 3); false when that has ended the session.
    private mutating func take(_ claim: AttachClaim, on number: LinkNumber?, _ now: Instant) -> Bool {
        guard claim.received <= sender.next else {
            end(.violation(.receivedUnsent), saying: .violation, now)
            return false
        }
        return acknowledge(claim.acknowledged, limit: claim.acknowledged, on: number, now)
    }

    mutating func noteJoined(_ now: Instant) {
        suspendedSince = nil
        lastFailure = nil
        timers[.suspension] = nil
        if timers[.idle] == nil { timers[.idle] = now + idlePing }
    }

    /// Starts the suspension limit when the last link of an open session is gone.
    mutating func noteSuspension(_ now: Instant) {
        guard !hasLink, suspendedSince == nil else { return }
        suspendedSince = now
        timers[.suspension] = now + configuration.suspendLimit
    }
}
