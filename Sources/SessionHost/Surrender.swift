public import SessionProtocol

/// Why this process gives up a session that could go on.
public enum Surrender: Equatable, Sendable {
    /// `usl drop`.
    case byHand
    /// It was suspended longest when a limit was reached.
    case limit(Shortage)
    /// The process ends.
    case ending

    /// What is told to the peer.
    public var reason: GoneMessage.Reason {
        switch self {
        case .byHand: .dropped
        case .ending: .ending
        case .limit: .exhausted
        }
    }

    /// For people; the end of a process speaks for itself.
    public var explanation: String? {
        switch self {
        case .byHand: "given up by hand (usl drop)"
        case .limit(let shortage): "suspended longest, and given up: \(shortage.explanation)"
        case .ending: nil
        }
    }
}

/// What there is no more of.
public enum Shortage: Equatable, Sendable {
    case memory
    case sessions
    case descriptors

    public var explanation: String {
        switch self {
        case .memory: "the limit on memory is reached ([limits] memory)"
        case .sessions: "the limit on sessions is reached ([limits] sessions)"
        case .descriptors: "the limit on open files is reached (ulimit -n)"
        }
    }
}
