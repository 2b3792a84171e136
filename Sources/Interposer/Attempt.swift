import CLinux

/// An attempt on the application's own socket, with the agent ready to find another path where it fails or is silent.
///
/// It is made once, and not given up for another: while the agent looks for a path, the SYN of this socket stays under way, and
/// its answer counts if it comes first. On a healthy path the agent has no part in what follows.
struct Attempt: ~Copyable {
    /// How connect(2) ends.
    enum Verdict {
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

    private enum Own {
        case underWay
        case connected
        case deferred
        case failed(Int32)
        /// The agent has taken the socket off its path, and is about to say where it shall go.
        case surrendered
    }

    private let socket: Int32
    private let address: UnsafePointer<sockaddr>?
    private let length: socklen_t
    private let control: ControlDescriptor
    private var own = Own.underWay
    private var agentListens = true
    private var agentIsAsked = false

    /// Begins it, on a socket that does not block.
    init(
        _ socket: Int32, to address: UnsafePointer<sockaddr>?, _ length: socklen_t,
        _ control: consuming ControlDescriptor
    ) {
        self.socket = socket
        self.address = address
        self.length = length
        self.control = control
        begin()
    }

    /// Waits for how it ends.
    ///
    /// - Parameters:
    ///   - silence: how long there may be no answer before the agent looks for another path, in milliseconds.
    ///   - budget: how long the agent may look for one, in milliseconds; beyond that it is dead or stopped.
    ///   - waits: whether the application waits for as long as it takes. If not, only until it is known where the socket is
    ///     to go.
    mutating func verdict(
        silence: Int32, budget: Int64, waits: Bool, signals: inout SignalWatch
    ) -> Verdict {
        let start = monotonicMilliseconds()
        let limit = waits ? sendTimeout(of: socket).map { start + $0 } : nil
        while true {
            let now = monotonicMilliseconds()
            let isOverdue = limit.map { $0 <= now } ?? false
            if let verdict = verdict(waits: waits, isInterrupted: signals.interrupted, isOverdue: isOverdue) {
                return verdict
            }
            let silenceEnd = start + Int64(silence)
            askIfDue(isSilent: silenceEnd <= now)
            let answerEnd = silenceEnd + min(budget, .max / 2) + patience
            if agentListens, answerEnd <= now {
                dismissAgent()
                continue
            }
            let next = min(limit ?? .max, agentIsAsked ? (agentListens ? answerEnd : .max) : silenceEnd)
            let ready = signals.wait(
                readable: agentListens ? control.number : -1, writable: isUnderWay ? socket : -1,
                milliseconds: next == .max ? -1 : Int32(clamping: max(0, next - now)))
            if ready.isWritable { look() }
            if ready.isReadable, let verdict = hear(&signals) { return verdict }
        }
    }

    private func verdict(waits: Bool, isInterrupted: Bool, isOverdue: Bool) -> Verdict? {
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

    private var isUnderWay: Bool { if case .underWay = own { true } else { false } }

    private mutating func begin() {
        if nextConnect(socket, address, length) == 0 {
            // Nothing that is far is connected at once.
            own = .deferred
        } else {
            own = usl_errno() == EINPROGRESS ? .underWay : .failed(usl_errno())
        }
    }

    /// The socket has something to tell.
    private mutating func look() {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 {
            own = .failed(code)
            return
        }
        switch tcpState(of: socket) {
        // TCP_SYN_SENT and TCP_SYN_RECV, linux/tcp_states.h.
        case 2, 3: own = .underWay
        case tcpClose: own = .surrendered
        default: own = .connected
        }
    }

    // MARK: - The agent

    private mutating func askIfDue(isSilent: Bool) {
        guard !agentIsAsked else { return }
        switch own {
        case .failed(let code): ask(code)
        case .underWay where isSilent: ask(0)
        case .underWay, .connected, .deferred, .surrendered: break
        }
    }

    private mutating func ask(_ code: Int32) {
        agentIsAsked = true
        agentListens = send(.attemptFailed(code), passing: socket, over: control.number)
    }

    private mutating func hear(_ signals: inout SignalWatch) -> Verdict? {
        switch response(on: control.number, by: monotonicMilliseconds() + 1000, signals: &signals) {
        case .response(.leg(let place)), .response(.held(let place)), .response(.connectTo(let place)):
            return .elsewhere(place)
        case .response(.refused(let code)): return .failed(code)
        case .response, .unreachable, .timedOut:
            // There is no other path, or no agent any more.
            dismissAgent()
            return nil
        }
    }

    private mutating func dismissAgent() {
        agentListens = false
        if case .surrendered = own { begin() }
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
