import CLinux

/// A connection to the agent's control socket.
struct ControlDescriptor: ~Copyable {
    /// Negative if there is none.
    let number: Int32

    /// A new socket.
    init() { number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) }

    deinit { if number >= 0 { _ = close(number) } }
}

/// How a question to the agent ended.
enum AgentAnswer: ~Copyable {
    case response(ControlResponse)
    /// The application's socket is to be tried first, for so many milliseconds; the agent listens on, and finds another path
    /// within `budget` milliseconds.
    case attempt(ControlDescriptor, silence: Int32, budget: Int64)
    /// No agent there, or it went away before it answered: carry on as if USL were not installed.
    case unreachable
    /// The agent is alive and silent.
    case timedOut
}

/// Asks the agent over a connection of its own, and waits for the answer. Asks once more when the agent dies before it
/// answers: the question is the same, and so is the socket. Safe in signal handlers and after vfork(2): system calls and
/// the stack only.
///
/// - Parameters:
///   - passing: a descriptor to send along, if not negative.
///   - signals: told of signals that arrive meanwhile.
func askAgent(_ request: ControlRequest, passing descriptor: Int32, signals: inout SignalWatch) -> AgentAnswer {
    let deadline = monotonicMilliseconds() + ControlMessage.patience
    var left = ControlMessage.attempts
    while true {
        let control = ControlDescriptor()
        // Nobody listens: there is no keeper any more.
        guard control.number >= 0, reach(agentAddress, on: control.number) else { return .unreachable }
        left -= 1
        if send(request, passing: descriptor, over: control.number) {
            switch response(on: control.number, by: deadline, signals: &signals) {
            case .response(.attempt(let silence, let budget)):
                return .attempt(control, silence: silence, budget: Int64(clamping: budget))
            case .response(let response): return .response(response)
            case .timedOut: return .timedOut
            case .unreachable: if left == 0 { return .unreachable }
            }
        } else if left == 0 {
            return .unreachable
        }
    }
}

private func reach(_ address: sockaddr_un, on control: Int32) -> Bool {
    // A full backlog makes connect(2) wait; this bounds it (unix(7)).
    var limit = timeval(tv_sec: Int(ControlMessage.patience / 1000), tv_usec: 0)
    _ = setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return withUnsafePointer(to: address) {
        let address = UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self)
        // Past our own hook.
        var result = usl_connect(control, address, socklen_t(MemoryLayout<sockaddr_un>.size))
        while result < 0, usl_errno() == EINTR {
            result = usl_connect(control, address, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
        return result == 0
    }
}

/// Says something to the agent; false if it has gone.
func send(_ request: ControlRequest, passing descriptor: Int32, over control: Int32) -> Bool {
    var bytes = request.encoded()
    // CMSG_SPACE(sizeof(int)) on 64-bit Linux, aligned as cmsg(3) wants it.
    var room: (UInt64, UInt64, UInt64) = (0, 0, 0)
    return withUnsafeMutableBytes(of: &bytes) { payload in
        withUnsafeMutableBytes(of: &room) { room in
            var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                if descriptor >= 0 {
                    message.msg_control = room.baseAddress
                    message.msg_controllen = room.count
                    guard let header = usl_cmsg_firsthdr(&message), let data = usl_cmsg_data(header) else {
                        return false
                    }
                    header.pointee.cmsg_level = SOL_SOCKET
                    header.pointee.cmsg_type = Int32(SCM_RIGHTS)
                    header.pointee.cmsg_len = usl_cmsg_len(MemoryLayout<Int32>.size)
                    UnsafeMutableRawPointer(data).storeBytes(of: descriptor, as: Int32.self)
                }
                var sent = sendmsg(control, &message, Int32(MSG_NOSIGNAL))
                while sent < 0, usl_errno() == EINTR { sent = sendmsg(control, &message, Int32(MSG_NOSIGNAL)) }
                return sent == payload.count
            }
        }
    }
}

/// What came of waiting for a message of the agent.
enum AgentMessage {
    case response(ControlResponse)
    case unreachable
    case timedOut
}

/// Waits for a message of the agent.
func response(on control: Int32, by deadline: Int64, signals: inout SignalWatch) -> AgentMessage {
    var bytes = ControlMessage.Bytes(repeating: 0)
    var filled = 0
    while filled < ControlMessage.size {
        let remaining = deadline - monotonicMilliseconds()
        guard remaining > 0 else { return .timedOut }
        guard signals.wait(readable: control, milliseconds: Int32(remaining)).isReadable else { continue }
        let received = withUnsafeMutableBytes(of: &bytes) {
            recv(control, $0.baseAddress! + filled, $0.count - filled, Int32(MSG_DONTWAIT))
        }
        if received > 0 {
            filled += received
        } else if received == 0 || (usl_errno() != EINTR && usl_errno() != EAGAIN) {
            return .unreachable
        }
    }
    guard let response = ControlResponse(bytes.span) else { return .unreachable }
    return .response(response)
}

/// Milliseconds of `CLOCK_MONOTONIC`.
func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
