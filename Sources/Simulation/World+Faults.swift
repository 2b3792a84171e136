import SessionProtocol

// What is done to the session by the network and by people.
extension World {
    func scheduleFault() {
        schedule.add(.fault, at: now + random.interval(upTo: scenario.faults.pause * 2) + .milliseconds(1))
    }

    func strike() {
        guard isFaulty else { return }
        if let fault = drawFault() { strike(fault) }
        scheduleFault()
    }

    private func drawFault() -> Fault? {
        let weights = scenario.faults.weights
        var draw = random.below(weights.reduce(0) { $0 + $1.weight })
        for (fault, weight) in weights {
            if draw < weight { return fault }
            draw -= weight
        }
        return nil
    }

    private func strike(_ fault: Fault) {
        switch fault {
        case .cut: if let id = liveConnection() { cut(id) }
        case .stall:
            guard let id = liveConnection() else { return }
            trace.note("connection \(id) stalls")
            statistics.note(.stall)
            disturb(connections[id].path, until: now + .seconds(3))
            hold(id, from: .opener)
            hold(id, from: .acceptor)
        case .outage:
            guard now >= outageUntil else { return }
            outageUntil = until(scenario.faults.longestOutage)
            trace.note("no path until \(outageUntil.nanoseconds) ns")
            statistics.note(.outage)
            disturb(until: outageUntil)
            for id in liveConnections { cut(id) }
        case .forgotten:
            guard let id = liveConnection() else { return }
            let directions = directions()
            trace.note("connection \(id) is forgotten: nothing arrives from \(directions)")
            statistics.note(.forgotten)
            disturb(connections[id].path)
            forgetSilently(id, directions)
        case .blackhole: silence(random.below(paths.count))
        case .address: loseAddress(random.below(paths.count))
        case .stop: stopIfSettled(random.pick([.opener, .acceptor]))
        case .crash: light(random.pick([.opener, .acceptor]), steps: random.below(30))
        case .bothCrash:
            light(.opener, steps: random.below(10))
            light(.acceptor, steps: random.below(10))
        case .neighbour:
            guard isRunning(.opener) else { return }
            statistics.note(.neighbour)
            opener.session.checkLinks(now)
            settle(.opener)
        case .shortage:
            guard let endpoint = endpoint(random.pick([.opener, .acceptor])), isRunning(endpoint.role) else { return }
            statistics.note(.shortage)
            endpoint.session.limitWindow(to: UInt64(random.size(upTo: 262_144)))
            settle(endpoint.role)
        case .pathRemoved: removePath(random.below(paths.count))
        case .attack: break
        }
    }

    func stopIfSettled(_ role: Role) {
        guard isFaulty, !scenario.isCalm || hasSettled else { return }
        stop(role, until: until(scenario.faults.longestStop))
    }

    /// Both ends know of each other; a process that is stopped before that may find its time for it over.
    private var hasSettled: Bool {
        guard let acceptor, opener.key != nil else { return false }
        return now - acceptor.startedAt > .seconds(1) + paths[0].roundTrip * 4
    }

    private var liveConnections: [ConnectionID] {
        connections.indices.filter {
            connections[$0].dialler != .attacker && connections[$0].isOpen.contains(true) && !connections[$0].isCut
        }
    }

    private func liveConnection() -> ConnectionID? {
        let live = liveConnections
        return live.isEmpty ? nil : random.pick(live)
    }

    /// Whose packets do not arrive.
    private func directions() -> [Role] { random.pick([[.opener], [.acceptor], [.opener, .acceptor]]) }

    /// The end of a fault that lasts that long at most, and no longer than all of them.
    private func until(_ longest: Interval) -> Instant { min(now + random.interval(upTo: longest), healsAt) }

    private func silence(_ path: Int) {
        guard paths[path].isClear(now) else { return }
        let end = until(scenario.faults.longestSilence)
        let directions = directions()
        trace.note("path \(path) brings nothing from \(directions) until \(end.nanoseconds) ns")
        statistics.note(.blackhole)
        disturb(path, until: end)
        for role in directions { paths[path].silence(from: role, until: end) }
    }

    func heal() {
        trace.note("the faults end")
        disturb()
        isFaulty = false
        opener.fuse = nil
        acceptor?.fuse = nil
        outageUntil = now
        for id in connections.indices {
            connections[id].pipes[0].budget = nil
            connections[id].pipes[1].budget = nil
        }
    }

    // MARK: Addresses

    private func loseAddress(_ path: Int) {
        guard paths[path].address != nil else { return }
        trace.note("the address on path \(path) is gone")
        statistics.note(.address)
        let back = until(scenario.faults.longestOutage)
        disturb(path, until: back)
        paths[path].address = nil
        for id in connections.indices where connections[id].path == path && connections[id].dialler != .attacker {
            if connections[id].isOpen.contains(true) { forgetSilently(id, [.opener, .acceptor]) }
        }
        handle(.noticed(.lost(path: path)))
        schedule.add(.addressed(path: path), at: back)
    }

    func addressed(_ path: Int) {
        paths[path].address = paths[path].nextAddress
        paths[path].nextAddress += 1
        disturb(path)
        trace.note("path \(path) has address \(paths[path].nextAddress - 1)")
        handle(.noticed(.changed))
    }

    private func removePath(_ path: Int) {
        guard isRunning(.opener), !paths[path].isRemoved else { return }
        trace.note("path \(path) is given up")
        statistics.note(.pathRemoved)
        paths[path].isRemoved = true
        let back = until(scenario.faults.longestOutage)
        disturb(path, until: back)
        opener.session.removePath(PathID(UInt8(path)), now)
        schedule.add(.pathAdded(path), at: back)
        settle(.opener)
    }

    func addPath(_ path: Int) {
        trace.note("path \(path) is taken again")
        paths[path].isRemoved = false
        disturb(path)
        opener.session.addPath(PathID(UInt8(path)), now)
        settle(.opener)
    }

    func noticed(_ news: NetworkNews) {
        switch news {
        case .lost(let path):
            for number in opener.links.map({ $0.number }) + dials.map({ $0.number })
            where opener.session.path(of: number)?.value == UInt8(path) {
                opener.session.suspect(number, now)
            }
        case .changed: opener.session.networkChanged(now)
        }
        settle(.opener)
    }
}
