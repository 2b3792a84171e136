import SessionProtocol

/// What has become of the process at one end.
enum ProcessState {
    case running
    /// It reads and does nothing; its kernel goes on.
    case stopped
    /// Its successor is not there yet. Listener, leg, ring and ledger live on.
    case dead
}

// The processes at both ends: stopped and continued, killed and succeeded.
extension World {
    func isRunning(_ role: Role) -> Bool { processes[role.index] == .running }

    /// Whether somebody reads that end of a connection now; nobody does while its process is stopped or dead.
    func isServed(_ id: ConnectionID, at role: Role) -> Bool {
        switch role {
        case .opener: connections[id].dialler == .attacker || isRunning(.opener)
        case .acceptor: connections[id].listener == .impostor || isRunning(.acceptor)
        }
    }

    /// The process that must run for an event to take place; nil when none must.
    private func process(for event: Event) -> Role? {
        switch event {
        case .received(let id, let role, _), .end(let id, let role, _): isServed(id, at: role) ? nil : role
        case .dialed, .noticed, .pathAdded: .opener
        case .tick(let role), .drop(let role): role
        case .targetAnswers, .admissionOver, .accepted: .acceptor
        case .arrival, .room, .userTimeout, .applicationWrites, .applicationReads, .applicationAborts, .fault, .attack,
            .stops, .continues, .restarts, .addressed, .heal:
            nil
        }
    }

    /// Keeps an event for when its process runs again.
    ///
    /// - Returns: false when it can take place now.
    func postpone(_ event: Event) -> Bool {
        guard let role = process(for: event), !isRunning(role) else { return false }
        if case .received(let id, _, let bytes) = event { connections[id].unread[role.index] += bytes.count }
        postponed[role.index].append(event)
        return true
    }

    func resume(_ role: Role) {
        processes[role.index] = .running
        disturb()
        if role == .acceptor { lastContinued = now }
        endpoint(role)?.runsSince = now
        if random.chance(0.5) {
            // Nothing says that a loop reads before it looks at its timers.
            postponed[role.index].sort { first, second in isTick(first) && !isTick(second) }
        }
        while isRunning(role), let event = postponed[role.index].first {
            postponed[role.index].removeFirst()
            if case .received(let id, _, let bytes) = event { connections[id].unread[role.index] -= bytes.count }
            handle(event)
        }
        for id in connections.indices where connections[id].pipes[role.other.index].choked > 0 {
            for _ in 0..<connections[id].pipes[role.other.index].choked {
                schedule.add(.arrival(id, from: role.other), at: now)
            }
            connections[id].pipes[role.other.index].choked = 0
        }
        settle(role)
    }

    private func isTick(_ event: Event) -> Bool { if case .tick = event { true } else { false } }

    /// Reads what waits in the kernel for a process that has just gone on.
    func readUnread(_ wanted: ConnectionID, at role: Role) {
        while true {
            let index = postponed[role.index].firstIndex {
                if case .received(wanted, role, _) = $0 { true } else { false }
            }
            guard let index, case .received(_, _, let bytes) = postponed[role.index].remove(at: index) else { return }
            connections[wanted].unread[role.index] -= bytes.count
            received(bytes, on: wanted, at: role)
        }
    }

    // MARK: Stopped

    func stop(_ role: Role, until end: Instant) {
        guard isRunning(role) else { return }
        trace.note("the \(role)'s process is stopped")
        statistics.note(.stop)
        processes[role.index] = .stopped
        disturb(until: end)
        schedule.add(.continues(role), at: end)
    }

    func continues(_ role: Role) {
        guard processes[role.index] == .stopped else { return }
        trace.note("the \(role)'s process goes on")
        resume(role)
    }
}
