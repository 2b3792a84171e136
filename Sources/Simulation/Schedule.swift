import SessionProtocol

/// Something that happens at a moment of virtual time.
enum Event {
    /// The next piece of a pipe arrives at the other end.
    case arrival(ConnectionID, from: Role)
    /// A process reads what has arrived in its kernel.
    case received(ConnectionID, at: Role, [UInt8])
    /// What `role` has written was acknowledged, and leaves room.
    case room(ConnectionID, by: Role)
    /// The kernel at that end looks whether it has waited too long for an acknowledgement.
    case userTimeout(ConnectionID, at: Role)
    /// That end of a connection learns that the connection is over.
    case end(ConnectionID, at: Role, LinkFailure)
    /// A dial of the opener has come to its end.
    case dialed(Dial, DialOutcome)
    /// The gateway finds a connection at its listener.
    case accepted(ConnectionID)
    /// A session wants to be woken.
    case tick(Role)
    case applicationWrites(Role)
    case applicationReads(Role)
    case applicationAborts(Role)
    /// Someone gives the session up, as `usl drop` does.
    case drop(Role)
    /// The acceptor's connection to its target is made or refused.
    case targetAnswers
    /// A connection that has proven nothing has had its time.
    case admissionOver(ConnectionID)
    case fault
    case attack
    /// A process is stopped, at a moment that hurts.
    case stops(Role)
    /// A stopped process goes on.
    case continues(Role)
    /// The successor of a process that has died is there.
    case restarts(Role)
    /// The opener has an address on a path again.
    case addressed(path: Int)
    /// The opener takes a path again.
    case pathAdded(Int)
    /// The opener's process hears of its network.
    case noticed(NetworkNews)
    /// The faults end: from now on the session must come to its end.
    case heal
}

/// What the opener's kernel tells of its network.
enum NetworkNews {
    /// An address on this path is gone.
    case lost(path: Int)
    /// An address has come.
    case changed
}

/// A dial of the opener.
struct Dial {
    let number: LinkNumber
    let path: Int
    /// The opener's address on the path, when it began.
    let address: Int?
    /// Which of the opener's processes has dialled.
    let incarnation: Int
    let startedAt: Instant
}

/// What comes of a dial.
enum DialOutcome {
    case gateway
    /// Another machine at the gateway's address.
    case impostor
    case refused
}

/// The events to come, earliest first; those of one moment in the order in which they were added.
struct Schedule {
    private struct Entry {
        let time: Instant
        let order: UInt64
        let event: Event

        func precedes(_ other: Entry) -> Bool {
            time != other.time ? time < other.time : order < other.order
        }
    }

    /// A binary heap.
    private var entries: [Entry] = []
    private var added: UInt64 = 0

    mutating func add(_ event: Event, at time: Instant) {
        entries.append(Entry(time: time, order: added, event: event))
        added += 1
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].precedes(entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func next() -> (time: Instant, event: Event)? {
        guard let last = entries.popLast() else { return nil }
        guard let first = entries.first else { return (last.time, last.event) }
        entries[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].precedes(entries[least]) {
                least = child
            }
            guard least != parent else { break }
            entries.swapAt(parent, least)
            parent = least
        }
        return (first.time, first.event)
    }
}
