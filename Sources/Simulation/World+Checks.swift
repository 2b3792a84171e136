import SessionProtocol

// What must be true at every step and at the end.
extension World {
    func noteLinks(_ endpoint: Endpoint) {
        if endpoint.session.hasLink {
            endpoint.linklessSince = nil
        } else if endpoint.linklessSince == nil {
            endpoint.linklessSince = now
        }
    }

    // MARK: At every step

    func check(_ endpoint: Endpoint) {
        let role = endpoint.role
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
        if isClean, endpoint.isReset, !endpoint.hasAborted {
            complain("the \(endpoint.role)'s application is reset behind a complete session")
        }
        switch ending {
        case .violation: complain("the \(endpoint.role) sees a violation: \(ending)")
        case .expired:
            if now - (endpoint.linklessSince ?? now) < endpoint.plan.suspendLimit {
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
        check(opener, against: acceptor)
        if let acceptor { check(acceptor, against: opener) }
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
