import SessionProtocol

// Dials: what becomes of a SYN.
extension World {
    func dial(_ number: LinkNumber, on index: Int) {
        let dial = Dial(
            number: number, path: index, address: paths[index].address, incarnation: incarnations[Role.opener.index],
            startedAt: now)
        statistics.dials += 1
        let rivals = opener.links.filter { opener.session.path(of: $0.number)?.value == UInt8(index) }
        if mayNotBlame, rivals.contains(where: { ["joined", "current"].contains(opener.session.linkState($0.number)) })
        {
            complain("a link is dialled though nothing is wrong")
        }
        dials.append(dial)
        guard dial.address != nil else { return schedule.add(.dialed(dial, .refused), at: now) }
        var outcome = DialOutcome.gateway
        var left = now
        if isFaulty {
            if now < outageUntil || random.chance(scenario.faults.dialFailures) {
                // A path that is down refuses, or loses what is sent.
                disturb(index)
                if random.chance(0.7) { outcome = .refused } else { left = max(now, outageUntil) + World.synInterval }
            } else if random.chance(scenario.faults.impostors) {
                // It may keep its caller waiting.
                disturb(index, until: opener.session.isOpen ? now : now + Session.handshakeLimit)
                outcome = .impostor
            } else if random.chance(paths[index].plan.loss) {
                left = now + World.synInterval
            }
        }
        let plan = paths[index].plan
        let jitter = Interval(nanoseconds: random.next() % (2 * plan.jitter.nanoseconds + 1))
        schedule.add(.dialed(dial, outcome), at: left + plan.latency * 2 + jitter)
    }

    /// How often a SYN without an answer is sent again.
    static let synInterval = Interval.seconds(1)

    func dialed(_ dial: Dial, _ outcome: DialOutcome) {
        let number = dial.number
        dials.removeAll { !opener.session.knows($0.number) || $0.number == number }
        guard dial.incarnation == incarnations[Role.opener.index], opener.session.knows(number) else { return }
        switch outcome {
        case .refused: opener.session.linkLost(number, .socket(111), now)
        case .gateway, .impostor:
            // An address that is gone brings no answer any more; a silent path brings one when it is not silent again.
            guard dial.address == paths[dial.path].address else { return }
            guard paths[dial.path].isClear(now), now >= outageUntil else {
                dials.append(dial)
                return schedule.add(.dialed(dial, outcome), at: now + World.synInterval)
            }
            let id = connect(.opener(number), outcome == .gateway ? .gateway : .impostor, path: dial.path)
            trace.note("link \(number) is connection \(id) to the \(outcome), on path \(dial.path)")
            opener.links.append(Endpoint.LinkIO(number: number, connection: id))
            if outcome == .gateway { handle(.accepted(id)) }
            let roundTrip = random.chance(0.9) ? paths[dial.path].plan.latency * 2 : nil
            opener.session.linkConnected(number, roundTrip: roundTrip, now)
        }
        settle(.opener)
    }
}
