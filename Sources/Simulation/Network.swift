import SessionProtocol

// The network: connections carry bytes late and in pieces, fall silent, and break.
extension World {
    /// With data outstanding and no acknowledgement for this long, a kernel gives a connection up (TCP_USER_TIMEOUT).
    static let userTimeout = Interval.seconds(60)
    /// So much later the acceptor's kernel has found out by keepalive that a connection is gone.
    static let keepaliveLimit = Interval.seconds(75)

    func connect(_ dialler: Connection.Dialler, _ listener: Connection.Listener, path: Int) -> ConnectionID {
        var connection = Connection(dialler, listener, path: path, now)
        if isFaulty, dialler != .attacker {
            if random.chance(scenario.faults.earlyCuts) {
                connection.pipes[random.below(2)].budget = random.below(400)
            } else if random.chance(scenario.faults.budgetCuts) {
                connection.pipes[random.below(2)].budget = random.size(
                    upTo: 1_000 + scenario.opener.total + scenario.acceptor.total)
            }
        }
        connections.append(connection)
        return connections.count - 1
    }

    // MARK: Writing

    /// Writes as much as the connection takes.
    func write(_ bytes: ArraySlice<UInt8>, to id: ConnectionID, by role: Role) -> Int {
        guard !connections[id].pipes[role.index].isShut else { return bytes.count }
        let accepted = min(bytes.count, room(on: id, from: role))
        if accepted < bytes.count { connections[id].pipes[role.index].isFull = true }
        // What is cut takes what fits into the socket's buffer, and acknowledges nothing.
        var carried = connections[id].pipes[role.index].isCut ? 0 : accepted
        let budget = connections[id].pipes[role.index].budget
        if let budget {
            carried = min(carried, budget)
            connections[id].pipes[role.index].budget = budget - carried
        }
        var rest = bytes.prefix(carried)
        while !rest.isEmpty {
            let piece = rest.prefix(random.within(1...scenario.pieceSize))
            rest = rest.dropFirst(piece.count)
            let due = due(piece.count, on: id, from: role)
            connections[id].pipes[role.index].counters.sent(piece.count, now)
            let arrival = connections[id].pipes[role.index].append(.bytes(Array(piece)), due)
            schedule.add(.arrival(id, from: role), at: arrival)
        }
        if carried < accepted { connections[id].pipes[role.index].counters.sent(accepted - carried, now) }
        if budget == carried, accepted > 0 {
            trace.note("connection \(id) has used up its bytes from the \(role)")
            connections[id].pipes[role.index].budget = nil
            connections[id].pipes[role.index].isCut = true
            cut(id, keepingAll: role)
        }
        return accepted
    }

    /// What the socket's buffer takes: it keeps bytes until they are acknowledged.
    private func room(on id: ConnectionID, from role: Role) -> Int {
        connections[id].pipes[role.index].counters.advance(now)
        return max(scenario.pipeCapacity - connections[id].pipes[role.index].counters.unacknowledged, 0)
    }

    /// When bytes that are written now arrive: behind the queue of a slow path, later by the jitter, and later still
    /// for each time that a packet of theirs is lost.
    private func due(_ count: Int, on id: ConnectionID, from role: Role) -> Instant {
        let path = connections[id].path
        let plan = paths[path].plan
        var due = paths[path].departure(of: count, from: role, now) + plan.latency
        if plan.jitter > .zero { due = due + Interval(nanoseconds: random.next() % plan.jitter.nanoseconds) }
        guard plan.loss > 0, isFaulty else { return due }
        disturb(path)
        var timeout = plan.latency * 3 + TransportCounters.slack
        var tries: UInt32 = 0
        while random.chance(plan.loss), tries < 10 {
            tries += 1
            due = due + timeout
            timeout = max(timeout, min(timeout * 2, TransportCounters.longestTimeout))
        }
        if tries > 0 {
            connections[id].pipes[role.index].counters.lost(tries)
            disturb(path, until: due)
        }
        return due
    }

    // MARK: Arriving

    /// Until when what `role` sends on a connection is kept back by the network; nil for ever.
    private func clearTime(_ id: ConnectionID, from role: Role) -> Instant? {
        if connections[id].dialler == .attacker { return now }
        if connections[id].pipes[role.index].isForgotten { return nil }
        return max(
            connections[id].pipes[role.index].heldUntil, paths[connections[id].path].silentUntil[role.index])
    }

    /// Until when it does not arrive: a kernel without acknowledgements sends nothing new.
    private func arrivalTime(_ id: ConnectionID, from role: Role) -> Instant? {
        guard let clear = clearTime(id, from: role) else { return nil }
        let back = clearTime(id, from: role.other)
        if let back, back <= now { return clear }
        connections[id].pipes[role.index].counters.advance(now)
        guard connections[id].pipes[role.index].counters.isWaiting(now) else { return clear }
        return back.map { max($0, clear) }
    }

    func arrive(_ id: ConnectionID, from role: Role) {
        guard passes(id, from: role) else { return }
        let reader = role.other
        if !isServed(id, at: reader), connections[id].unread[reader.index] >= scenario.receiveBuffer {
            // The reader's kernel is full, and its process does not read: a closed window.
            if connections[id].pipes[role.index].choked == 0 { watchTimeout(id, role) }
            connections[id].pipes[role.index].choked += 1
            return
        }
        switch connections[id].pipes[role.index].takeFirst() {
        case .end(let failure): handle(.end(id, at: reader, failure))
        case .bytes(let bytes):
            acknowledge(id, from: role)
            if !bytes.isEmpty, connections[id].isOpen[reader.index] {
                handle(.received(id, at: reader, bytes))
            }
        }
    }

    /// Whether what arrives now really does; else it is put off to when it will, or for ever.
    private func passes(_ id: ConnectionID, from role: Role) -> Bool {
        let stall = connections[id].pipes[role.index].stall
        guard let clear = arrivalTime(id, from: role) else {
            if stall == nil {
                connections[id].pipes[role.index].stall = Pipe.Stall(since: now, resumesAt: now)
                watchTimeout(id, role)
            }
            return false
        }
        if now < clear, (stall?.resumesAt ?? now) <= clear {
            let since = stall?.since ?? now
            if stall == nil { watchTimeout(id, role) }
            connections[id].pipes[role.index].stall = Pipe.Stall(since: since, resumesAt: clear + lag(since, clear))
        }
        if let resumesAt = connections[id].pipes[role.index].stall?.resumesAt, now < resumesAt {
            schedule.add(.arrival(id, from: role), at: resumesAt)
            return false
        }
        connections[id].pipes[role.index].stall = nil
        return true
    }

    /// How long behind the end of a silence a kernel sends again: its timeout has grown with the silence.
    private func lag(_ since: Instant, _ clear: Instant) -> Interval {
        let longest = min(max(clear - since, TransportCounters.slack), TransportCounters.longestTimeout)
        return Interval(nanoseconds: random.next() % longest.nanoseconds)
    }

    /// What has arrived is acknowledged by the reader's kernel, whatever its process does.
    private func acknowledge(_ id: ConnectionID, from role: Role) {
        let longest = paths[connections[id].path].longestRoundTrip(scenario)
        guard !connections[id].isCut else {
            return connections[id].pipes[role.index].counters.arrived(acknowledgedAt: nil, longest: longest)
        }
        let latency = paths[connections[id].path].plan.latency
        let clear = clearTime(id, from: role.other)
        let back = clear.map { $0 <= now ? now + latency : $0 + lag(now, $0) + latency }
        connections[id].pipes[role.index].counters.arrived(acknowledgedAt: back, longest: longest)
        if let back, connections[id].pipes[role.index].isFull { schedule.add(.room(id, by: role), at: back) }
        if (back ?? now + World.userTimeout) - now >= World.userTimeout { watchTimeout(id, role) }
    }

    private func watchTimeout(_ id: ConnectionID, _ role: Role) {
        schedule.add(.userTimeout(id, at: role), at: now + World.userTimeout)
    }

    func userTimeout(_ id: ConnectionID, at role: Role) {
        guard connections[id].isOpen[role.index] else { return }
        connections[id].pipes[role.index].counters.advance(now)
        guard connections[id].pipes[role.index].counters.silence(now) >= World.userTimeout else { return }
        handle(.end(id, at: role, .socket(110)))
    }

    /// Room has come into a socket's buffer.
    func resumeWriting(_ id: ConnectionID, by role: Role) {
        guard connections[id].isOpen[role.index], connections[id].pipes[role.index].isFull,
            room(on: id, from: role) > 0
        else { return }
        connections[id].pipes[role.index].isFull = false
        settle(role)
    }

    func received(_ bytes: [UInt8], on id: ConnectionID, at role: Role) {
        switch (role, connections[id].dialler, connections[id].listener) {
        case (.opener, .opener, _): take(bytes, on: id, at: opener)
        case (.opener, .attacker, _): break
        case (.acceptor, _, .gateway): admit(bytes, on: id)
        case (.acceptor, _, .impostor): impersonate(id)
        }
    }

    // MARK: Ending

    /// A fault ends a connection. Part of what is under way still arrives; the ends learn of it each at its own time.
    func cut(_ id: ConnectionID, keepingAll spared: Role? = nil) {
        guard !connections[id].isCut else { return }
        connections[id].isCut = true
        let survivor: Role? = random.chance(scenario.faults.oneWay) ? random.pick([.opener, .acceptor]) : nil
        for role in [Role.opener, .acceptor] where role != survivor {
            let inFlight = connections[id].pipes[role.index].inFlight
            if role != spared { connections[id].pipes[role.index].truncate(to: random.below(inFlight + 1)) }
            connections[id].pipes[role.index].isCut = true
            // The rest may come so late that another link has carried the same by then.
            if random.chance(0.3) { hold(id, from: role) }
        }
        for role in [Role.opener, .acceptor] {
            let isSilent = random.chance(scenario.faults.silence)
            let delay = isSilent ? random.interval(upTo: .seconds(20)) : random.interval(upTo: .milliseconds(100))
            // All of it is known five seconds after the faults have ended.
            let limit = max(now, Instant(nanoseconds: 0) + scenario.faults.healsAfter + .seconds(5))
            // What is late arrives before that, or it would not arrive at all.
            let learns = min(max(now, connections[id].pipes[role.other.index].heldUntil) + delay, limit)
            schedule.add(.end(id, at: role, random.chance(0.5) ? .closed : .socket(104)), at: learns)
            disturb(connections[id].path, until: learns)
        }
        trace.note("connection \(id) is cut\(survivor.map { "; what the \($0) sends still arrives" } ?? "")")
        statistics.note(.cut)
    }

    /// Nothing arrives any more on a connection, in one direction or both, and nobody is told.
    func forgetSilently(_ id: ConnectionID, _ roles: [Role]) {
        for role in roles { connections[id].pipes[role.index].isForgotten = true }
        schedule.add(.end(id, at: .acceptor, .socket(110)), at: now + World.keepaliveLimit)
    }

    /// The owner of one end closes it. The other end reads what is under way, or not all of it, and then the end.
    func close(_ id: ConnectionID, by role: Role) {
        guard connections[id].isOpen[role.index] else { return }
        connections[id].isOpen[role.index] = false
        guard connections[id].isOpen[role.other.index] else { return }
        if isFaulty, !scenario.isCalm, random.chance(0.2) {
            let inFlight = connections[id].pipes[role.index].inFlight
            connections[id].pipes[role.index].truncate(to: random.below(inFlight + 1))
            shut(id, by: role, .socket(104))
        } else {
            shut(id, by: role, .closed)
        }
    }

    /// Whatever is under way, and what follows, arrives no sooner than after a while.
    func hold(_ id: ConnectionID, from role: Role) {
        connections[id].pipes[role.index].heldUntil = now + random.interval(upTo: .seconds(3))
    }

    /// Nothing follows from this end.
    func shut(_ id: ConnectionID, by role: Role, _ failure: LinkFailure = .closed) {
        guard !connections[id].pipes[role.index].isShut || failure != .closed else { return }
        connections[id].pipes[role.index].isShut = true
        guard !connections[id].pipes[role.index].isCut else { return }
        let due = now + paths[connections[id].path].plan.latency
        schedule.add(.arrival(id, from: role), at: connections[id].pipes[role.index].append(.end(failure), due))
    }

    func end(_ id: ConnectionID, at role: Role, _ failure: LinkFailure) {
        guard connections[id].isOpen[role.index] else { return }
        guard let endpoint = endpoint(role), endpoint.link(over: id) != nil else {
            forget(id, at: role)
            return
        }
        trace.note("connection \(id) has ended for the \(role): \(failure)")
        lose(id, at: endpoint, failure)
        settle(role)
    }
}
