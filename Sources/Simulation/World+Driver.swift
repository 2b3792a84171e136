import SessionProtocol

// The driver of each endpoint: what Engine does with sockets, done with the simulated network.
extension World {
    // MARK: From the network

    func take(_ bytes: [UInt8], on id: ConnectionID, at endpoint: Endpoint) {
        var cursor = 0
        while let index = endpoint.link(over: id) {
            let number = endpoint.links[index].number
            switch endpoint.session.receive(on: number, bytes.span.bytes, &cursor, now) {
            case .needMore: return settle(endpoint.role)
            case .data(let range):
                endpoint.held.append(bytes[range])
                if canary == .acknowledgesEarly { endpoint.session.applicationTook(range.count, now) }
                deliver(endpoint)
            case .early: complain("bytes that came early, on one link at a time")
            case .opened(let answer):
                let key = ToyKey(
                    secret: secret, openerShare: openMessage.keyShare, acceptorShare: answer.keyShare)
                guard let verified = answer.verified(by: key.proof(of: answer.transcript)) else {
                    lose(id, at: endpoint, .unproven)
                    return settle(endpoint.role)
                }
                endpoint.key = key
                endpoint.session.opened(verified, on: number, now)
                trace.note("the opener has OPENED on link \(number)")
                scheduleApplication(endpoint)
            case .attach(let attach):
                guard let verified = endpoint.key.flatMap({ attach.verified(by: $0.proof(of: attach.transcript)) })
                else {
                    lose(id, at: endpoint, .unproven)
                    return settle(endpoint.role)
                }
                rejoin(verified, on: index, of: endpoint)
            case .attached(let answer):
                guard let verified = endpoint.key.flatMap({ answer.verified(by: $0.proof(of: answer.transcript)) })
                else {
                    lose(id, at: endpoint, .unproven)
                    return settle(endpoint.role)
                }
                endpoint.session.attached(verified, on: number, now)
                trace.note("the opener has ATTACHED on link \(number)")
            case .linkFailed(let failure):
                lose(id, at: endpoint, failure)
                return settle(endpoint.role)
            }
        }
        settle(endpoint.role)
    }

    private func rejoin(_ attach: Verified<AttachClaim>, on index: Int, of endpoint: Endpoint) {
        let number = endpoint.links[index].number
        switch endpoint.session.rejoin(attach, on: number, now) {
        case .joined(let claim):
            endpoint.links[index].number = claim.link
            seal(claim, on: claim.link, of: endpoint)
            statistics.joins += 1
        case .stale(let claim): seal(claim, on: number, of: endpoint)
        case .gone(let gone):
            endpoint.links[index].output.append(gone.encoded)
            endpoint.links[index].isEnding = true
        }
    }

    func lose(_ id: ConnectionID, at endpoint: Endpoint, _ failure: LinkFailure) {
        guard let index = endpoint.link(over: id) else { return }
        let number = endpoint.links[index].number
        trace.note("the \(endpoint.role) has lost link \(number): \(failure)")
        if canary == .losesHeldBytes { endpoint.held.removeAll() }
        if canary == .endsStreamWithLink, endpoint.session.wantsDelivery, endpoint.session.isOpen, !endpoint.finGiven {
            endpoint.finGiven = true
            scheduleRead(endpoint)
        }
        if endpoint.session.knows(number) {
            endpoint.session.linkLost(number, failure, now)
        } else {
            remove(number, of: endpoint)
        }
    }

    private func remove(_ number: LinkNumber, of endpoint: Endpoint) {
        guard let index = endpoint.link(number) else { return }
        close(endpoint.links.remove(at: index).connection, by: endpoint.role)
    }

    // MARK: What the session asks for

    func settle(_ role: Role) {
        guard let endpoint = endpoint(role), isRunning(role) else { return }
        if endpoint.hasUnseenReset {
            endpoint.hasUnseenReset = false
            endpoint.session.applicationReset(code: 0, now)
        }
        repeat {
            while let effect = endpoint.session.nextEffect() { perform(effect, endpoint) }
            deliver(endpoint)
            for index in endpoint.links.indices.reversed() { flush(index, endpoint) }
        } while endpoint.session.hasEffects
        if endpoint.waitsForRoom, roomInRing(endpoint) > 0 {
            endpoint.waitsForRoom = false
            schedule.add(.applicationWrites(role), at: now)
        }
        noteLinks(endpoint)
        check(endpoint)
        armTick(endpoint)
    }

    private func perform(_ effect: Effect, _ endpoint: Endpoint) {
        trace.note("the \(endpoint.role)'s session asks: \(effect)")
        switch effect {
        case .dial(let number, _): dial(number, on: 0)
        case .examine(let number):
            // A transport that is never idle: it has nothing to say.
            let vitals = LinkVitals(
                acknowledged: 0, hasUnacknowledged: false, retransmissions: 0, roundTrip: nil)
            endpoint.session.linkExamined(number, vitals, now)
        case .suspected: break
        case .attach(let number):
            if let claim = endpoint.session.attachClaim(on: number) { seal(claim, on: number, of: endpoint) }
        case .close(let number): remove(number, of: endpoint)
        case .resetLeg: resetLeg(endpoint)
        case .ended(let ending): noteEnding(ending, of: endpoint)
        }
    }

    private func seal(_ claim: AttachClaim, on number: LinkNumber, of endpoint: Endpoint) {
        guard let key = endpoint.key else { return complain("a claim before there is a key") }
        check(claim, by: endpoint)
        let frame = claim.unsealed
        let sealed = frame.sealed(with: key.proof(of: frame.transcript))
        overhear(sealed, from: endpoint.role)
        endpoint.session.sendAttach(sealed, on: number)
    }

    private func armTick(_ endpoint: Endpoint) {
        var wanted = endpoint.session.deadline
        if !endpoint.links.isEmpty, let lingersUntil = endpoint.lingersUntil {
            wanted = wanted.map { min($0, lingersUntil) } ?? lingersUntil
        }
        guard let wanted else { return }
        if let tickAt = endpoint.tickAt, tickAt <= wanted { return }
        endpoint.tickAt = wanted
        schedule.add(.tick(endpoint.role), at: max(wanted, now))
    }

    func tick(_ role: Role) {
        guard let endpoint = endpoint(role), let due = endpoint.tickAt, due <= now else { return }
        endpoint.tickAt = nil
        endpoint.session.tick(now)
        if let lingersUntil = endpoint.lingersUntil, lingersUntil <= now {
            while let link = endpoint.links.last { remove(link.number, of: endpoint) }
        }
        settle(role)
    }

    // MARK: To the network

    private func dial(_ number: LinkNumber, on index: Int) {
        let dial = Dial(
            number: number, path: index, address: paths[index].address, incarnation: incarnations[Role.opener.index],
            startedAt: now)
        statistics.dials += 1
        if scenario.isCalm, statistics.dials > paths.count { complain("a link is dialled though nothing is wrong") }
        guard dial.address != nil else { return schedule.add(.dialed(dial, .refused), at: now) }
        var outcome = DialOutcome.gateway
        if isFaulty {
            if now < outageUntil || random.chance(scenario.faults.dialFailures) {
                // A path that is down refuses, or says nothing until the session gives the dial up by itself.
                if random.chance(0.3) { return }
                outcome = .refused
            } else if random.chance(scenario.faults.impostors) {
                outcome = .impostor
            }
        }
        let plan = paths[index].plan
        var left = now
        // What is lost is sent again each second, and given up by the session long before TCP does.
        for _ in 0..<10 {
            let isLost = isFaulty && random.chance(plan.loss)
            if !isLost, paths[index].silentUntil.allSatisfy({ $0 <= left }) { break }
            left = left + .seconds(1)
        }
        let jitter = Interval(nanoseconds: random.next() % (2 * plan.jitter.nanoseconds + 1))
        schedule.add(.dialed(dial, outcome), at: left + plan.latency * 2 + jitter)
    }

    func dialed(_ dial: Dial, _ outcome: DialOutcome) {
        let number = dial.number
        guard dial.incarnation == incarnations[Role.opener.index], opener.session.knows(number) else { return }
        switch outcome {
        case .refused: opener.session.linkLost(number, .socket(111), now)
        case .gateway, .impostor:
            // An address that is gone, or a path that has fallen silent meanwhile, brings no answer.
            guard dial.address == paths[dial.path].address, paths[dial.path].isClear(now) else { return }
            let id = connect(.opener(number), outcome == .gateway ? .gateway : .impostor, path: dial.path)
            trace.note("link \(number) is connection \(id) to the \(outcome), on path \(dial.path)")
            opener.links.append(Endpoint.LinkIO(number: number, connection: id))
            if outcome == .gateway { handle(.accepted(id)) }
            opener.session.linkConnected(number, roundTrip: nil, now)
        }
        settle(.opener)
    }

    /// Gives the connection what the session has for the link, as far as it takes it.
    private func flush(_ first: Int, _ endpoint: Endpoint) {
        let (number, id) = (endpoint.links[first].number, endpoint.links[first].connection)
        while let index = endpoint.link(over: id) {
            if !endpoint.links[index].output.isEmpty {
                let count = write(endpoint.links[index].output.content, to: id, by: endpoint.role)
                endpoint.links[index].output.removeFirst(count)
                guard endpoint.links[index].output.isEmpty else { return }
            }
            if endpoint.links[index].isEnding {
                if !endpoint.links[index].isShut { shut(id, by: endpoint.role) }
                endpoint.links[index].isShut = true
                return
            }
            let frame = endpoint.session.nextFrame(on: number, now, maximumData: endpoint.plan.maximumData)
            switch frame {
            case nil: return
            case .end: endpoint.links[index].isEnding = true
            case .handshake(let bytes): endpoint.links[index].output.append(bytes)
            case .header(let header):
                trace.note("the \(endpoint.role) says \(header.type) at \(header.offset) on link \(number)")
                check(header, by: endpoint)
                endpoint.links[index].output.append(header.encodedBytes)
            case .data(let header, let range):
                trace.note("the \(endpoint.role) sends \(range) on link \(number)")
                check(header, by: endpoint)
                check(sending: range, by: endpoint)
                endpoint.links[index].output.append(header.encodedBytes)
                endpoint.links[index].output.append(Pattern.bytes(of: endpoint.role, range))
            }
        }
    }
}
