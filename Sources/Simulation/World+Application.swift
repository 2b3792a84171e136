import SessionProtocol

// The applications and their legs.
extension World {
    func roomInRing(_ endpoint: Endpoint) -> Int {
        endpoint.plan.ringCapacity - Int(endpoint.session.taken - endpoint.session.acknowledged)
    }

    func scheduleApplication(_ endpoint: Endpoint) {
        schedule.add(.applicationWrites(endpoint.role), at: now)
        if endpoint.plan.ending == .aborts {
            schedule.add(.applicationAborts(endpoint.role), at: now + endpoint.plan.abortsAfter)
        }
    }

    // MARK: The application

    func applicationWrites(_ role: Role) {
        guard let endpoint = endpoint(role), !endpoint.hasFinished, !endpoint.hasAborted else { return }
        guard isRunning(role) else {
            endpoint.waitsForRoom = true
            return
        }
        guard endpoint.session.takesApplicationBytes else { return }
        let left = endpoint.plan.total - Int(endpoint.written)
        if left > 0 {
            let count = min(random.within(1...endpoint.plan.writeSize), left, roomInRing(endpoint))
            guard count > 0 else {
                endpoint.waitsForRoom = true
                return
            }
            endpoint.written += UInt64(count)
            if !dies(endpoint) { endpoint.session.applicationWrote(count) }
        }
        if endpoint.written < UInt64(endpoint.plan.total) {
            schedule.add(.applicationWrites(role), at: now + pause(upTo: endpoint.plan.writePause))
        } else if endpoint.plan.ending == .finishes || endpoint.sawEOF {
            finish(endpoint)
        }
        settle(role)
    }

    private func finish(_ endpoint: Endpoint) {
        // What a dead process thought of its session does not count.
        guard !endpoint.hasFinished, !isRunning(endpoint.role) || endpoint.session.takesApplicationBytes else { return }
        trace.note("the \(endpoint.role)'s application has finished at \(endpoint.written)")
        endpoint.hasFinished = true
        endpoint.hasUnseenFin = true
    }

    func applicationReads(_ role: Role) {
        guard let endpoint = endpoint(role) else { return }
        endpoint.readIsScheduled = false
        guard !endpoint.hasAborted else { return }
        let count = min(random.within(1...endpoint.plan.readSize), endpoint.buffered)
        endpoint.buffered -= count
        endpoint.consumed += UInt64(count)
        if endpoint.buffered == 0, endpoint.finGiven, !endpoint.sawEOF {
            endpoint.sawEOF = true
            checkEndOfStream(at: endpoint)
            if endpoint.plan.ending == .finishesAfterEOF, endpoint.written == UInt64(endpoint.plan.total) {
                finish(endpoint)
            }
        }
        settle(role)
        if endpoint.buffered > 0 { scheduleRead(endpoint) }
    }

    func applicationAborts(_ role: Role) {
        guard let endpoint = endpoint(role), endpoint.ending == nil, !endpoint.session.isComplete else { return }
        trace.note("the \(role)'s application resets its connection at \(endpoint.written)")
        endpoint.hasAborted = true
        endpoint.abortedAt = now
        endpoint.held.removeAll()
        endpoint.buffered = 0
        endpoint.hasUnseenReset = true
        settle(role)
    }

    func drop(_ role: Role) {
        guard let endpoint = endpoint(role), endpoint.ending == nil else { return }
        trace.note("the \(role)'s session is dropped")
        dropped[role.index] = true
        endpoint.session.drop(saying: .ending, now)
        settle(role)
    }

    /// Slow applications become quick when the faults end, or the run would last for ever.
    private func pause(upTo longest: Interval) -> Interval {
        random.interval(upTo: isFaulty ? longest : min(longest, .milliseconds(10)))
    }

    // MARK: The leg

    /// Moves received bytes into the leg, as far as its buffer goes, and FIN behind them.
    func deliver(_ endpoint: Endpoint) {
        // Behind a mistake, the session would be called with what it forbids.
        guard isRunning(endpoint.role), complaint == nil else { return }
        guard endpoint.session.wantsDelivery, !endpoint.hasAborted else {
            endpoint.held.removeAll()
            return
        }
        let count = min(endpoint.held.count, endpoint.plan.legCapacity - endpoint.buffered)
        if count > 0 {
            let bytes = endpoint.held.content.prefix(count)
            if !Pattern.matches(bytes, of: endpoint.role.other, from: endpoint.legTaken) {
                complain("wrong bytes are delivered to the \(endpoint.role)'s application at \(endpoint.legTaken)")
            }
            endpoint.held.removeFirst(count)
            endpoint.legTaken += UInt64(count)
            endpoint.buffered += count
            statistics.bytes += UInt64(count)
            scheduleRead(endpoint)
            if dies(endpoint) { return }
            if canary != .acknowledgesEarly { endpoint.session.applicationTook(count, now) }
        }
        if endpoint.session.finIsDue, endpoint.held.isEmpty, !endpoint.finGiven {
            endpoint.ledger.finDelivered = true
            if dies(endpoint) { return }
            giveFin(endpoint)
            if dies(endpoint) { return }
            endpoint.session.applicationTookFin(now)
        }
    }

    /// Shuts the leg's writing side.
    func giveFin(_ endpoint: Endpoint) {
        endpoint.finGiven = true
        endpoint.legTaken += 1
        scheduleRead(endpoint)
    }

    func scheduleRead(_ endpoint: Endpoint) {
        guard !endpoint.readIsScheduled else { return }
        endpoint.readIsScheduled = true
        var reads = now + pause(upTo: endpoint.plan.readPause)
        let first = Instant(nanoseconds: 0) + endpoint.plan.readsAfter
        if isFaulty, reads < first { reads = min(first, max(healsAt, now)) }
        schedule.add(.applicationReads(endpoint.role), at: reads)
    }

    /// The leg is reset: what it has taken may still be read, and no EOF follows.
    func resetLeg(_ endpoint: Endpoint) {
        endpoint.isReset = true
        endpoint.held.removeAll()
    }
}
