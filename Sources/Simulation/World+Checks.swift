import SessionProtocol

// What must be true at every step and at the end.
extension World {
    func noteLinks(_ endpoint: Endpoint) {
        if endpoint.role == .opener, let link = endpoint.links.first(where: { endpoint.session.isCurrent($0.number) }) {
            lastCurrentPath = connections[link.connection].path
        }
        if endpoint.session.hasLink {
            endpoint.linklessSince = nil
        } else if endpoint.linklessSince == nil {
            endpoint.linklessSince = now
        }
    }

    // MARK: At every step

    func check(_ endpoint: Endpoint) {
        let role = endpoint.role
        checkWaiting(endpoint)
        let (taken, acknowledged) = (endpoint.session.taken, endpoint.session.acknowledged)
        let (received, delivered) = (endpoint.session.receivedPosition, endpoint.session.delivered)
        if acknowledged < endpoint.lastAcknowledged { complain("the \(role)'s acknowledged position retreats") }
        endpoint.lastAcknowledged = acknowledged
        if acknowledged > taken { complain("the \(role) holds more acknowledged than it was given") }
        if taken - acknowledged > UInt64(endpoint.plan.ringCapacity) {
            complain("the \(role)'s ring is overfull")
        }
        if delivered > received { complain("the \(role) delivered what it has not received") }
        if delivered != endpoint.legTaken, !endpoint.hasAborted {
            complain("the \(role) calls \(delivered) delivered, its leg has taken \(endpoint.legTaken)")
        }
        // FIN needs no window.
        if received > endpoint.promised + 1 { complain("the \(role) received more than it promised") }
        if UInt64(endpoint.held.count) > received - delivered {
            complain("the \(role) holds bytes twice")
        }
        guard let peer = self.endpoint(role.other) else { return }
        if acknowledged > peer.legTaken { complain("the \(role) was told of bytes that are not delivered") }
        if received > peer.written + (peer.hasFinished ? 1 : 0) {
            complain("the \(role) received more than was ever given")
        }
    }

    /// Nothing waits without a name and a limit, nor longer than that.
    private func checkWaiting(_ endpoint: Endpoint) {
        let session = endpoint.session
        if session.state == .active, session.reason == nil { return }
        if session.state != .active, !session.isOver, session.reason == nil {
            complain("the \(endpoint.role) is \(session.state) without a reason")
        }
        if session.state == .suspended, session.deadline == nil {
            complain("the \(endpoint.role) is suspended without a limit")
        }
        // A process that does not run sees the time when it goes on.
        guard let since = endpoint.linklessSince, isRunning(endpoint.role), session.state != .closing else { return }
        // An opener that never confirms has that time for it.
        let limit = max(endpoint.plan.suspendLimit, Session.confirmationLimit) + .seconds(1)
        if now - since > limit, now - endpoint.runsSince > limit {
            complain("the \(endpoint.role) is suspended for longer than its limit")
        }
    }

    func check(_ header: FrameHeader, by endpoint: Endpoint) {
        if header.acknowledged > endpoint.legTaken {
            complain("the \(endpoint.role) acknowledges \(header.acknowledged) of \(endpoint.legTaken)")
        }
        endpoint.promised = max(endpoint.promised, header.acknowledged + UInt64(header.window) * Wire.windowUnit)
    }

    func check(_ claim: AttachClaim, by endpoint: Endpoint) {
        if claim.acknowledged > endpoint.legTaken || claim.received < claim.acknowledged {
            complain("the \(endpoint.role) claims \(claim.acknowledged), \(claim.received) of \(endpoint.legTaken)")
        }
        endpoint.promised = max(endpoint.promised, claim.acknowledged + UInt64(claim.window) * Wire.windowUnit)
    }

    func check(sending range: Range<Position>, by endpoint: Endpoint) {
        if range.lowerBound < endpoint.session.acknowledged || range.upperBound > endpoint.session.taken {
            complain("the \(endpoint.role) sends \(range), which its ring does not hold")
        }
        let limit = self.endpoint(endpoint.role.other)?.promised ?? Wire.initialWindow
        if range.upperBound > limit { complain("the \(endpoint.role) sends \(range) beyond the window \(limit)") }
    }

    /// An application has read EOF: that must be the end of what the other has written, by its own will.
    func checkEndOfStream(at endpoint: Endpoint) {
        guard let peer = self.endpoint(endpoint.role.other) else { return }
        if !peer.hasFinished || endpoint.consumed != peer.written {
            complain("the \(endpoint.role)'s stream is cut at \(endpoint.consumed) of \(peer.written) by a clean EOF")
        }
    }

    // MARK: At the end of a session

    func noteEnding(_ ending: Ending, of endpoint: Endpoint) {
        if endpoint.ending != nil { complain("the \(endpoint.role)'s session ends twice") }
        endpoint.ending = ending
        endpoint.lingersUntil = now + .seconds(10)
        let isClean = endpoint.finGiven && endpoint.hasFinished && endpoint.session.isComplete
        let wasNeverOpen = endpoint.role == .opener && endpoint.key == nil
        if !isClean, !endpoint.hasAborted, !endpoint.isReset, !wasNeverOpen {
            complain(
                "the \(endpoint.role)'s session ends with \(ending), and its application sees neither end nor reset")
        }
        // Only who gives a session up does not ask how far it has come.
        if isClean, endpoint.isReset, !endpoint.hasAborted, !dropped[endpoint.role.index] {
            complain("the \(endpoint.role)'s application is reset behind a complete session")
        }
        switch ending {
        case .violation: complain("the \(endpoint.role) sees a violation: \(ending)")
        case .expired:
            let limit = endpoint.key == nil ? endpoint.plan.suspendLimit : scenario.suspendLimit
            if now - (endpoint.linklessSince ?? now) < limit {
                complain("the \(endpoint.role)'s session expires before its time")
            }
        case .finished:
            if !isClean { complain("the \(endpoint.role)'s session is finished but not complete") }
        case .abortedByPeer:
            let peer = self.endpoint(endpoint.role.other)
            let hadItsTime = now - (peer?.abortedAt ?? now) >= Session.abortGrace
            if !hadItsTime, endpoint.legTaken < peer?.written ?? 0 {
                complain("the \(endpoint.role) is reset before the bytes that its peer has written are delivered")
            }
        case .abortedHere, .refused, .gone, .unconfirmed, .dropped: break
        }
    }

    /// Every ending has a cause, and the two fit together.
    func checkEndings() {
        if case .refused? = opener.ending, !scenario.targetRefuses { complain("refused without a reason") }
        if scenario.sharesPaths { checkShares() }
        if scenario.hasBetterPath { checkPreference() }
        check(opener, against: acceptor)
        if let acceptor { check(acceptor, against: opener) }
    }

    /// Failover goes over to a path that is clearly better, once it has had the time to see so.
    private func checkPreference() {
        guard let better = paths.indices.min(by: { paths[$0].plan.latency < paths[$1].plan.latency }),
            let current = lastCurrentPath, now - opener.startedAt > .seconds(120)
        else { return }
        let (best, taken) = (paths[better].plan.latency * 2, paths[current].plan.latency * 2)
        if best + best / 2 + .milliseconds(10) < taken {
            complain("path \(current) is preferred to path \(better): \(taken.nanoseconds) to \(best.nanoseconds) ns")
        }
    }

    /// A stripe leaves no path idle that is as good as the others.
    private func checkShares() {
        for role in [Role.opener, .acceptor] where scenario[role].total >= Scenario.sharedTotal {
            let carried = paths.map { $0.carried[role.index] }
            let total = carried.reduce(0, +)
            guard total >= UInt64(Scenario.sharedTotal) else { continue }
            if carried.contains(where: { $0 * 5 * UInt64(paths.count) < total * 2 }) {
                complain("what the \(role) sends is not spread over all paths: \(carried)")
            }
        }
    }

    private func check(_ endpoint: Endpoint, against peer: Endpoint?) {
        guard let ending = endpoint.ending else { return complain("the \(endpoint.role)'s session has no ending") }
        let ends = [endpoint.hasAborted, endpoint.isReset, endpoint.finGiven && endpoint.hasFinished]
        if endpoint.key != nil, !ends.contains(true) { complain("the \(endpoint.role)'s application hangs") }
        let fits =
            switch ending {
            case .finished:
                peer.map { $0.finGiven && $0.legTaken == endpoint.written + 1 } ?? false
            case .abortedHere: endpoint.hasAborted && peer.map { !endsCleanly($0) || $0.session.isComplete } ?? true
            case .abortedByPeer: peer?.hasAborted ?? false
            case .refused: endpoint.role == .opener && peer == nil
            case .gone(.ending): dropped[endpoint.role.other.index]
            case .gone(.expired): peer?.ending == .expired || peer?.ending == .unconfirmed
            case .gone(.aborted): peer?.hasAborted ?? false
            case .gone(.unknown): admission.hasForgotten
            // In this model nobody else forgets, nobody is short of anything, and the keys are right.
            case .gone: false
            case .expired: true
            case .unconfirmed: endpoint.role == .acceptor && endpoint.session.reconnects == 0
            case .dropped: dropped[endpoint.role.index]
            case .violation: false
            }
        if !fits {
            let other = peer?.ending.map { "\($0)" } ?? "none"
            complain("the \(endpoint.role)'s session ends with \(ending), the other with \(other)")
        }
    }

    private func endsCleanly(_ endpoint: Endpoint) -> Bool { !endpoint.isReset && !endpoint.hasAborted }
}
