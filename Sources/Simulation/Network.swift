import SessionProtocol

typealias ConnectionID = Int

/// One direction of a connection.
struct Pipe {
    enum Piece {
        case bytes([UInt8])
        /// The writer has closed its end, or shut it.
        case end(LinkFailure)
    }

    /// Pieces under way, with `first` the next to arrive.
    private var pieces: [Piece] = []
    private var first = 0
    private(set) var inFlight = 0
    /// Nothing overtakes: the next piece arrives no earlier.
    private(set) var lastArrival: Instant
    /// What is under way stays where it is until then.
    var heldUntil: Instant
    /// What is written from now on arrives nowhere.
    var isCut = false
    /// The writer has shut it.
    var isShut = false
    /// The pipe is cut when it has carried this many more bytes.
    var budget: Int?

    init(_ now: Instant) {
        lastArrival = now
        heldUntil = now
    }

    /// - Returns: when the piece arrives: at `due`, but not before those that are under way.
    mutating func append(_ piece: Piece, _ due: Instant) -> Instant {
        pieces.append(piece)
        if case .bytes(let bytes) = piece { inFlight += bytes.count }
        lastArrival = max(lastArrival, due)
        return lastArrival
    }

    mutating func takeFirst() -> Piece {
        let piece = pieces[first]
        first += 1
        if case .bytes(let bytes) = piece { inFlight -= bytes.count }
        if first == pieces.count {
            pieces.removeAll(keepingCapacity: true)
            first = 0
        }
        return piece
    }

    /// Loses everything under way but the first `kept` bytes. The arrivals stay, of nothing.
    mutating func truncate(to kept: Int) {
        var left = kept
        for index in first..<pieces.count {
            guard case .bytes(let bytes) = pieces[index] else { continue }
            let count = min(left, bytes.count)
            pieces[index] = .bytes(Array(bytes.prefix(count)))
            left -= count
        }
        inFlight = kept - left
    }
}

/// A transport connection between the opener's machine, or an attacker's, and the gateway's, or an impostor's.
struct Connection {
    enum Dialler: Equatable { case opener(LinkNumber), attacker }
    enum Listener { case gateway, impostor }

    let dialler: Dialler
    let listener: Listener
    /// By the role of the writer.
    var pipes: [Pipe]
    /// By role: that end has not been closed by its owner.
    var isOpen = [true, true]
    /// The impostor at its end has said its piece.
    var isAnswered = false
    /// A fault has hit it; both ends will learn so.
    var isCut = false

    init(_ dialler: Dialler, _ listener: Listener, _ now: Instant) {
        self.dialler = dialler
        self.listener = listener
        pipes = [Pipe(now), Pipe(now)]
    }
}

extension Role {
    var index: Int { Int(rawValue) }
    var other: Role { self == .opener ? .acceptor : .opener }
}

// The network: connections carry bytes late and in pieces, and break.
extension World {
    func connect(_ dialler: Connection.Dialler, _ listener: Connection.Listener) -> ConnectionID {
        var connection = Connection(dialler, listener, now)
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

    /// Writes as much as the connection takes.
    func write(_ bytes: ArraySlice<UInt8>, to id: ConnectionID, by role: Role) -> Int {
        guard !connections[id].pipes[role.index].isShut else { return bytes.count }
        let accepted = min(bytes.count, max(scenario.pipeCapacity - connections[id].pipes[role.index].inFlight, 0))
        // A blackhole takes what fits into the socket's buffer, and acknowledges nothing.
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
            let due = now + scenario.latency + Interval(nanoseconds: random.next() % (scenario.jitter.nanoseconds + 1))
            let arrival = connections[id].pipes[role.index].append(.bytes(Array(piece)), due)
            schedule.add(.arrival(id, from: role), at: arrival)
        }
        if budget == carried, accepted > 0 {
            trace.note("connection \(id) has used up its bytes from the \(role)")
            connections[id].pipes[role.index].budget = nil
            connections[id].pipes[role.index].isCut = true
            cut(id, keepingAll: role)
        }
        return accepted
    }

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
        }
        trace.note("connection \(id) is cut\(survivor.map { "; what the \($0) sends still arrives" } ?? "")")
        statistics.cuts += 1
    }

    /// The owner of one end closes it. The other end reads what is under way, or not all of it, and then the end.
    func close(_ id: ConnectionID, by role: Role) {
        guard connections[id].isOpen[role.index] else { return }
        connections[id].isOpen[role.index] = false
        guard connections[id].isOpen[role.other.index] else { return }
        if isFaulty, random.chance(0.2) {
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
        schedule.add(.arrival(id, from: role), at: connections[id].pipes[role.index].append(.end(failure), now))
    }

    func arrive(_ id: ConnectionID, from role: Role) {
        let heldUntil = connections[id].pipes[role.index].heldUntil
        if now < heldUntil { return schedule.add(.arrival(id, from: role), at: heldUntil) }
        switch connections[id].pipes[role.index].takeFirst() {
        case .end(let failure): end(id, at: role.other, failure)
        case .bytes(let bytes):
            if !bytes.isEmpty, connections[id].isOpen[role.other.index] { received(bytes, on: id, at: role.other) }
            resumeWriting(id, by: role)
        }
    }

    /// Room has come into a pipe.
    private func resumeWriting(_ id: ConnectionID, by role: Role) {
        guard connections[id].isOpen[role.index] else { return }
        settle(role)
    }

    private func received(_ bytes: [UInt8], on id: ConnectionID, at role: Role) {
        switch (role, connections[id].dialler, connections[id].listener) {
        case (.opener, .opener, _): take(bytes, on: id, at: opener)
        case (.opener, .attacker, _): break
        case (.acceptor, _, .gateway): admit(bytes, on: id)
        case (.acceptor, _, .impostor): impersonate(id)
        }
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
