import SessionProtocol

// The driver of each endpoint: what Engine does with sockets, done with the simulated network.
extension World {
    // MARK: From the network

    func take(_ bytes: [UInt8], on id: ConnectionID, at endpoint: Endpoint) {
        var cursor = 0
        while let index = endpoint.link(over: id), !dies(endpoint) {
            let number = endpoint.links[index].number
            switch endpoint.session.receive(on: number, bytes.span.bytes, &cursor, now) {
            case .needMore: return settle(endpoint.role)
            case .data(let range):
                hold(bytes[range], at: endpoint)
                if canary == .acknowledgesEarly { endpoint.session.applicationTook(range.count, now) }
                deliver(endpoint)
            case .early(let position, let range): hold(bytes[range], early: position, at: endpoint)
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

    /// Keeps the next bytes until the leg takes them, and what came early and follows them.
    private func hold(_ bytes: ArraySlice<UInt8>, at endpoint: Endpoint) {
        let start = endpoint.legTaken + UInt64(endpoint.held.count)
        endpoint.held.append(bytes)
        let end = endpoint.held.join(at: start + UInt64(bytes.count))
        if end != endpoint.session.receivedBytes {
            complain("the \(endpoint.role) holds bytes up to \(end), and says \(endpoint.session.receivedBytes)")
        }
    }

    private func hold(_ bytes: ArraySlice<UInt8>, early position: Position, at endpoint: Endpoint) {
        statistics.early += UInt64(bytes.count)
        trace.note("the \(endpoint.role) has \(bytes.count) bytes at \(position) early")
        if position <= endpoint.session.receivedPosition || position + UInt64(bytes.count) > endpoint.promised {
            complain("the \(endpoint.role) holds \(bytes.count) bytes at \(position), early, of \(endpoint.promised)")
        }
        if canary != .losesEarlyBytes { endpoint.held.store(bytes, at: position) }
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
        readEnd(endpoint)
        repeat {
            while isRunning(role), let effect = endpoint.session.nextEffect() { perform(effect, endpoint) }
            deliver(endpoint)
            for index in endpoint.links.indices.reversed() { flush(index, endpoint) }
            guard isRunning(role) else { return }
        } while endpoint.session.hasEffects
        if endpoint.waitsForRoom, roomInRing(endpoint) > 0 {
            endpoint.waitsForRoom = false
            schedule.add(.applicationWrites(role), at: now)
        }
        noteLinks(endpoint)
        check(endpoint)
        armTick(endpoint)
    }

    /// What the leg says behind the last byte that was taken.
    private func readEnd(_ endpoint: Endpoint) {
        if endpoint.hasUnseenFin, !dies(endpoint) {
            endpoint.hasUnseenFin = false
            endpoint.ledger.finTaken = true
            if dies(endpoint) { return }
            endpoint.session.applicationFinished()
        }
        if endpoint.hasUnseenReset, !dies(endpoint) {
            endpoint.hasUnseenReset = false
            endpoint.ledger.resetSeen = true
            if dies(endpoint) { return }
            endpoint.session.applicationReset(code: 0, now)
        }
    }

    private func perform(_ effect: Effect, _ endpoint: Endpoint) {
        if dies(endpoint) { return }
        trace.note("the \(endpoint.role)'s session asks: \(effect)")
        switch effect {
        case .dial(let number, let path): dial(number, on: Int(path.value))
        case .examine(let number): if canary != .neverExamines { examine(number, of: endpoint) }
        case .suspected(let number):
            statistics.suspicions += 1
            if mayNotBlame { complain("link \(number) is suspect though nothing is wrong") }
        case .attach(let number):
            if let claim = endpoint.session.attachClaim(on: number) { seal(claim, on: number, of: endpoint) }
        case .close(let number): remove(number, of: endpoint)
        case .resetLeg:
            if endpoint.isReset { complain("the \(endpoint.role)'s application is reset twice") }
            resetLeg(endpoint)
        case .ended(let ending): noteEnding(ending, of: endpoint)
        }
    }

    private func seal(_ claim: AttachClaim, on number: LinkNumber, of endpoint: Endpoint) {
        guard let key = endpoint.key else { return complain("a claim before there is a key") }
        if canary != .storesEpochLate { endpoint.ledger.epoch = endpoint.session.highestEpoch }
        if dies(endpoint) { return }
        check(claim, by: endpoint)
        let frame = claim.unsealed
        let sealed = frame.sealed(with: key.proof(of: frame.transcript))
        overhear(sealed, from: endpoint.role)
        endpoint.session.sendAttach(sealed, on: number)
        if endpoint.role == .opener, claim.epoch <= endpoint.lastEpochSent {
            complain("epoch \(claim.epoch) serves twice")
        }
        endpoint.lastEpochSent = max(endpoint.lastEpochSent, claim.epoch)
        if dies(endpoint) { return }
        endpoint.ledger.epoch = endpoint.session.highestEpoch
    }

    /// Reads what has arrived on a link, so that a process that had no time to does not blame the link; then its
    /// transport's counters.
    private func examine(_ number: LinkNumber, of endpoint: Endpoint) {
        guard let id = endpoint.links.first(where: { $0.number == number })?.connection else {
            return complain("a link without a connection is to be examined")
        }
        if canary != .blamesUnread { readUnread(id, at: endpoint.role) }
        guard endpoint.link(over: id) != nil else { return }
        let pipe = connections[id].pipes[endpoint.role.index]
        var counters = pipe.counters
        counters.advance(now)
        connections[id].pipes[endpoint.role.index].counters = counters
        let vitals = LinkVitals(
            acknowledged: counters.acknowledged, hasUnacknowledged: counters.hasUnacknowledged,
            retransmissions: counters.retransmissions(now, isChoked: pipe.choked > 0), roundTrip: counters.roundTrip)
        trace.note("the \(endpoint.role) examines link \(number): \(vitals)")
        endpoint.session.linkExamined(number, vitals, now)
    }

    /// Nothing is wrong with the network, and the acceptor's process has had time to answer.
    var mayNotBlame: Bool {
        scenario.isCalm && isRunning(.acceptor) && now - lastContinued > .seconds(3) + paths[0].roundTrip * 6
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
        noteWake(endpoint)
        endpoint.session.tick(now)
        if let lingersUntil = endpoint.lingersUntil, lingersUntil <= now {
            while let link = endpoint.links.last { remove(link.number, of: endpoint) }
        }
        settle(role)
    }

    /// A session that has nothing to do sleeps.
    private func noteWake(_ endpoint: Endpoint) {
        let second = now.nanoseconds / 10_000_000_000
        endpoint.wakes = second == endpoint.wakesAt ? endpoint.wakes + 1 : 0
        endpoint.wakesAt = second
        if endpoint.wakes > World.wakeLimit { complain("the \(endpoint.role) wakes without end: \(state)") }
    }

    /// In ten seconds: links are examined every 15 ms at most, while they are in doubt.
    private static let wakeLimit = 4_000

    // MARK: To the network

    /// Gives the connection what the session has for the link, as far as it takes it.
    private func flush(_ first: Int, _ endpoint: Endpoint) {
        let (number, id) = (endpoint.links[first].number, endpoint.links[first].connection)
        while isRunning(endpoint.role), let index = endpoint.link(over: id) {
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
            case _? where dies(endpoint): return
            case .end: endpoint.links[index].isEnding = true
            case .handshake(let bytes): endpoint.links[index].output.append(bytes)
            case .header(let header):
                trace.note("the \(endpoint.role) says \(header.type) at \(header.offset) on link \(number)")
                check(header, by: endpoint)
                endpoint.links[index].output.append(header.encodedBytes)
                if header.type == .ping, random.chance(scenario.faults.stopsBehindPing) {
                    schedule.add(.stops(endpoint.role), at: now)
                }
            case .data(let header, let range):
                trace.note("the \(endpoint.role) sends \(range) on link \(number)")
                check(header, by: endpoint)
                check(sending: range, by: endpoint)
                paths[connections[id].path].carried[endpoint.role.index] += UInt64(range.count)
                endpoint.links[index].output.append(header.encodedBytes)
                endpoint.links[index].output.append(Pattern.bytes(of: endpoint.role, range))
            }
        }
    }
}
