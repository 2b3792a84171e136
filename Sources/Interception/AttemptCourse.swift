import CLinux

// The preload library and the supervisor of trapped calls are built from this one file.

/// The course of an attempt on the application's own socket, with the agent ready to find another path where it fails or is silent.
///
/// It is made once, and not given up for another: while the agent looks for a path, the SYN of this socket stays under way, and
/// its answer counts if it comes first. On a healthy path the agent has no part in what follows.
///
/// This knows neither socket nor clock: what becomes of both is told, and what is to be done is asked for, step by step. Times are
/// milliseconds of one clock.
public struct AttemptCourse {
    /// What has become of the attempt.
    public enum Own {
        case underWay
        case connected
        /// connect(2) has not waited for the network.
        case deferred
        case failed(Int32)
        /// The agent has taken the socket off its path, and is about to say where it shall go.
        case surrendered
    }

    /// How connect(2) ends.
    public enum Verdict: Equatable {
        case connected
        /// connect(2) has not waited for the network.
        case deferred
        /// Under way on the application's own socket.
        case underWay
        /// The same, and a signal has come.
        case interrupted
        case failed(Int32)
        /// The socket is free again, and is to be connected there.
        case elsewhere(AddressBytes)
    }

    /// What is to be done next.
    public enum Step: Equatable {
        case end(Verdict)
        /// Tell the agent that it has failed, with this errno, or is silent (0); then say whether it heard that.
        case ask(Int32)
        /// Make the attempt once more: the agent has taken the socket off its path, and then died.
        case beginAgain
        /// Wait until the socket or the agent has something to say, or a signal arrives; or until this time, nil for ever.
        case wait(until: Int64?)
    }

    public var own: Own
    private var agentListens: Bool
    private var agentIsAsked = false
    private let waits: Bool
    private let limit: Int64?
    private let silenceEnd: Int64
    private let answerEnd: Int64

    /// - Parameters:
    ///   - now: when it began.
    ///   - silence: how long there may be no answer before the agent looks for another path; nil if no agent helps.
    ///   - budget: how long the agent may look for one; beyond that it is dead or stopped.
    ///   - waits: whether the application waits for as long as it takes. If not, only until it is known where the socket is
    ///     to go.
    ///   - timeout: how long it waits at most.
    public init(_ own: Own, at now: Int64, silence: Int32?, budget: Int64, waits: Bool, timeout: Int64?) {
        self.own = own
        self.waits = waits
        limit = waits ? timeout.map { now + $0 } : nil
        agentListens = silence != nil
        silenceEnd = now + Int64(silence ?? 0)
        answerEnd = silenceEnd + min(waits ? budget : 0, .max / 2) + ControlMessage.patience
    }

    /// Whether the agent may say something.
    public var hearsAgent: Bool { agentListens }
    /// Whether the socket may say something.
    public var isUnderWay: Bool { if case .underWay = own { true } else { false } }

    /// - Parameter isInterrupted: whether a signal has come that ends connect(2).
    public mutating func step(at now: Int64, isInterrupted: Bool) -> Step {
        if let verdict = verdict(isInterrupted: isInterrupted, isOverdue: limit.map { $0 <= now } ?? false) {
            return .end(verdict)
        }
        if let code = codeToAsk(at: now) { return .ask(code) }
        if agentListens, answerEnd <= now { agentHasGone() }
        switch own {
        case .surrendered where !agentListens: return .beginAgain
        case .failed(let code) where !agentListens: return .end(.failed(code))
        case .underWay where !agentListens && !waits: return .end(.underWay)
        case .underWay, .connected, .deferred, .failed, .surrendered: break
        }
        let next = min(limit ?? .max, agentListens ? (agentIsAsked ? answerEnd : silenceEnd) : .max)
        return .wait(until: next == .max ? nil : next)
    }

    private func verdict(isInterrupted: Bool, isOverdue: Bool) -> Verdict? {
        switch own {
        case .connected: return .connected
        case .deferred: return .deferred
        case .failed(let code):
            return agentListens && isFailureOfPath(code) && !isInterrupted && !isOverdue ? nil : .failed(code)
        case .underWay:
            if isInterrupted { return .interrupted }
            return isOverdue || !(waits || agentListens) ? .underWay : nil
        case .surrendered: return nil
        }
    }

    private func codeToAsk(at now: Int64) -> Int32? {
        guard agentListens, !agentIsAsked else { return nil }
        switch own {
        case .failed(let code): return code
        case .underWay where silenceEnd <= now: return 0
        case .underWay, .connected, .deferred, .surrendered: return nil
        }
    }

    /// - Parameter heard: false if it has gone.
    public mutating func agentWasAsked(heard: Bool) {
        agentIsAsked = true
        agentListens = heard
    }

    /// The agent has spoken: there is a verdict, or it knows no other path.
    public mutating func agentSaid(_ response: ControlResponse) -> Verdict? {
        switch response {
        case .leg(let place), .held(let place), .connectTo(let place): return .elsewhere(place)
        case .refused(let code): return .failed(code)
        case .direct, .attempt, .asked, .notMine, .accepted, .incoming:
            agentHasGone()
            return nil
        }
    }

    /// There is no agent any more, or none that can help.
    public mutating func agentHasGone() { agentListens = false }

    /// The socket has something to tell.
    ///
    /// - Parameters:
    ///   - error: its `SO_ERROR`.
    ///   - state: of linux/tcp_states.h; nil if it has none.
    public mutating func socketSaid(error: Int32, state: UInt8?) {
        if error != 0 {
            own = .failed(error)
            return
        }
        switch state {
        // TCP_SYN_SENT and TCP_SYN_RECV.
        case 2, 3: own = .underWay
        // TCP_CLOSE.
        case 7: own = .surrendered
        default: own = .connected
        }
    }
}

/// Whether another path may do better. What is wrong with the call itself is wrong on every path.
private func isFailureOfPath(_ code: Int32) -> Bool {
    switch code {
    // EACCES and EPERM: by a rule of this machine's firewall or routes.
    case ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, ENONET, EPROTO,
        ENOPROTOOPT,
        EADDRNOTAVAIL, EACCES, EPERM:
        true
    default: false
    }
}
