import SessionProtocol

// Processes die, between any two steps, and have successors.
extension World {
    /// The process at this end dies at its next step but `steps`.
    func light(_ role: Role, steps: Int) {
        guard isRunning(role), role == .acceptor || opener.key != nil else { return }
        guard let endpoint = endpoint(role), steps > 0 else { return die(role) }
        endpoint.fuse = steps
    }

    /// A step of the driver behind which its process may be dead.
    ///
    /// - Returns: whether it is.
    func dies(_ endpoint: Endpoint) -> Bool {
        guard let fuse = endpoint.fuse else { return !isRunning(endpoint.role) }
        endpoint.fuse = fuse - 1
        if fuse > 1 { return false }
        die(endpoint.role)
        return true
    }

    private func die(_ role: Role) {
        guard processes[role.index] != .dead else { return }
        trace.note("the \(role)'s process is killed")
        statistics.note(.crash)
        processes[role.index] = .dead
        disturb()
        endpoint(role)?.fuse = nil
        corpses.append(role)
    }

    /// The kernel closes what the dead had open.
    func bury() {
        while let role = corpses.popLast() {
            incarnations[role.index] += 1
            postponed[role.index].removeAll {
                if case .pathAdded = $0 { false } else { true }
            }
            if let endpoint = endpoint(role) {
                for link in endpoint.links { close(link.connection, by: role) }
                endpoint.links.removeAll()
                endpoint.held.removeAll()
                endpoint.tickAt = nil
                endpoint.linklessSince = endpoint.linklessSince ?? now
            }
            if role == .acceptor {
                for newcomer in admission.newcomers { close(newcomer.connection, by: .acceptor) }
                admission.newcomers.removeAll()
                admission.pending = nil
            }
            let restart = now + random.interval(upTo: scenario.faults.longestRestart)
            disturb(until: restart)
            schedule.add(.restarts(role), at: restart)
        }
    }

    func restarts(_ role: Role) {
        guard processes[role.index] == .dead else { return }
        trace.note("the \(role)'s process has a successor")
        if let endpoint = endpoint(role) { restore(endpoint) }
        resume(role)
    }

    private func restore(_ endpoint: Endpoint) {
        let ledger = endpoint.ledger
        guard endpoint.ending == nil else {
            // The slot is free, and nobody remembers the session.
            if endpoint.role == .acceptor { admission.hasForgotten = true }
            return
        }
        guard !endpoint.isReset else {
            // The leg is gone by this end's own will: nothing is left to go on with.
            endpoint.session.drop(saying: .ending, now)
            while endpoint.session.nextEffect() != nil {}
            if endpoint.role == .acceptor { admission.hasForgotten = true }
            endpoint.ending = .dropped(.ending)
            dropped[endpoint.role.index] = true
            return
        }
        if ledger.finDelivered, !endpoint.finGiven { giveFin(endpoint) }
        // A ring keeps what was acknowledged until something takes its place.
        let oldest = endpoint.written - min(endpoint.written, UInt64(endpoint.plan.ringCapacity))
        let ringBase = random.chance(0.5) ? oldest : max(oldest, endpoint.lastAcknowledged)
        let delivered = canary == .trustsTheDead ? endpoint.session.deliveredBytes : endpoint.deliveredBytes
        let snapshot = SessionSnapshot(
            id: endpoint.session.id, role: endpoint.role, instance: endpoint.session.instance, epoch: ledger.epoch,
            taken: endpoint.written, ringBase: ringBase, finTaken: ledger.finTaken,
            delivered: delivered, finDelivered: endpoint.finGiven,
            aborted: ledger.resetSeen ? 0 : nil)
        var configuration = endpoint.configuration
        configuration.suspendLimit = scenario.suspendLimit
        if endpoint.role == .opener {
            configuration.paths = paths.indices.filter { !paths[$0].isRemoved }.map { PathID(UInt8($0)) }
        }
        endpoint.session = Session.restored(snapshot, configuration, now)
        endpoint.lastAcknowledged = ringBase
        endpoint.promised = endpoint.legTaken + Wire.initialWindow
    }
}
