import SessionProtocol

/// What is done to a session.
public enum Fault: Int, CaseIterable, Sendable {
    /// A connection breaks, and both ends learn so.
    case cut
    /// A connection stands still for a while.
    case stall
    /// No dial succeeds for a while, and all connections break.
    case outage
    /// A connection falls silent for good, in one direction or both, as when a NAT forgets it.
    case forgotten
    /// A path falls silent for a while, in one direction or both.
    case blackhole
    /// The opener loses its address on a path, and has another one later.
    case address
    /// A process does nothing for a while.
    case stop
    /// A process is killed, and succeeded.
    case crash
    /// Both processes are killed.
    case bothCrash
    /// A link of another session to the same peer has failed, so that all are asked.
    case neighbour
    /// Memory runs short at one end.
    case shortage
    /// The opener gives a path up, and takes it again later.
    case pathRemoved
    /// A connection to the gateway by someone who has no key.
    case attack
}

/// What a run was like.
struct Statistics {
    var time = Interval.zero
    var events: UInt64 = 0
    var bytes: UInt64 = 0
    var joins: UInt64 = 0
    var dials: UInt64 = 0
    var suspicions: UInt64 = 0
    /// Bytes that came before those that precede them.
    var early: UInt64 = 0
    /// By fault.
    var faults = [UInt64](repeating: 0, count: Fault.allCases.count)

    mutating func note(_ fault: Fault) { faults[fault.rawValue] += 1 }
    subscript(fault: Fault) -> UInt64 { faults[fault.rawValue] }
}
