import CLinux
import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage

/// One connect(2) of a program, made on its own socket in its place.
///
/// A socket that does not block is connected here, and its caller told that it is under way. One that blocks is begun here likewise,
/// and the caller's own connect(2) then goes on: on a socket that is connecting, the kernel waits for how that ends, with the
/// program's signals and all, and does not look at the address again (in the kernel, inet_stream_connect).
final class TrappedConnect {
    private enum Stage {
        /// The agent decides.
        case asking
        case attempting(AttemptCourse)
        case over
    }

    /// How soon a signal is noticed, which the kernel holds back from a caller that waits for its supervisor.
    private static let signalDelay = Interval.milliseconds(20)

    private let call: TrapListener.Call
    private let asked: AddressBytes
    private let blocks: Bool
    private let timeout: Int64?
    private let startedAt: Int64
    private unowned let supervisor: ConnectSupervisor
    /// A copy, which is closed before the answer: as long as it exists, the program's close() sends no FIN.
    private var socket: TrappedSocket?
    private var inquiry: AgentInquiry?
    private var stage = Stage.asking
    private var registration: Registration?
    private var timer: TimerToken?

    /// - Parameter address: where it is to be connected; its family is the socket's.
    init(
        _ call: TrapListener.Call, _ socket: consuming TrappedSocket, to address: AddressBytes,
        by supervisor: ConnectSupervisor
    ) {
        self.call = call
        asked = address
        blocks = socket.blocks
        timeout = socket.sendTimeout
        self.supervisor = supervisor
        startedAt = Self.milliseconds(supervisor.loop.now)
        self.socket = consume socket
    }

    private var loop: EventLoop { supervisor.loop }

    private static func milliseconds(_ instant: Instant) -> Int64 { Int64(instant.nanoseconds / 1_000_000) }

    func begin() {
        guard let number = socket?.number else { return }
        let request = ControlRequest.connect(to: asked, blocking: blocks, process: call.thread)
        let inquiry = AgentInquiry(at: supervisor.controlPath, on: loop) { (agent) throws(Errno) in
            try agent.request(request, passing: number)
        } ended: { [self] in
            heard($0)
        }
        self.inquiry = inquiry
        inquiry.begin()
    }

    private func heard(_ outcome: AgentInquiry.Outcome) {
        switch (stage, outcome) {
        case (.asking, .response(.attempt(let silence, let budget))):
            attempt(at: asked, silence: silence, budget: Int64(clamping: budget))
        case (.asking, .response(.leg(let place))), (.asking, .response(.held(let place))): connect(to: place)
        case (.asking, .response(.refused(let code))): answer(.failed(code))
        case (.asking, .response), (.asking, .unreachable): connect(to: asked)
        case (.asking, .timedOut): answer(.failed(ETIMEDOUT))
        case (.attempting(var course), .response(let response)):
            if let verdict = course.agentSaid(response) { return end(verdict) }
            proceed(&course)
        case (.attempting(var course), .unreachable), (.attempting(var course), .timedOut):
            course.agentHasGone()
            proceed(&course)
        case (.over, _): break
        }
    }

    /// Where the agent has no more part in it.
    private func connect(to place: AddressBytes) { attempt(at: place, silence: nil, budget: 0) }

    // MARK: - The attempt

    private func attempt(at place: AddressBytes, silence: Int32?, budget: Int64) {
        guard let own = socket?.begin(at: place) else { return }
        if case .underWay = own, let number = socket?.number {
            registration = try? loop.register(number, self)
        }
        let now = Self.milliseconds(loop.now)
        var course = AttemptCourse(
            own, at: now, silence: silence, budget: budget, waits: blocks,
            timeout: timeout.map { max(0, $0 - (now - startedAt)) })
        proceed(&course)
    }

    private func proceed(_ course: inout AttemptCourse, isInterrupted: Bool = false) {
        while true {
            switch course.step(at: Self.milliseconds(loop.now), isInterrupted: isInterrupted) {
            case .end(let verdict): return end(verdict)
            case .ask(let code):
                let number = socket?.number ?? -1
                course.agentWasAsked(heard: inquiry?.say(.attemptFailed(code), passing: number) ?? false)
            case .beginAgain: course.own = socket?.begin(at: asked) ?? .failed(EBADF)
            // The kernel waits better.
            case .wait where blocks && !course.hearsAgent && timeout == nil: return answer(.goesOn)
            case .wait(let end): return wait(until: end, course)
            }
        }
    }

    private func wait(until end: Int64?, _ course: AttemptCourse) {
        stage = .attempting(course)
        if let timer { loop.cancel(timer) }
        let pause = end.map { Interval.milliseconds(UInt64(max(0, $0 - Self.milliseconds(loop.now)))) }
        // Only who waits for long can be interrupted.
        let next = blocks ? min(pause ?? Self.signalDelay, Self.signalDelay) : pause
        timer = next.map { loop.schedule(self, at: loop.now + $0) }
    }

    private func end(_ verdict: AttemptCourse.Verdict) {
        switch verdict {
        // The caller's connect(2) has yet to say so; and it ends with EINTR if there is a signal.
        case .connected where blocks, .interrupted: answer(.goesOn)
        case .connected, .underWay: answer(.failed(EINPROGRESS))
        // TCP_FASTOPEN_CONNECT: the SYN leaves with the first write.
        case .deferred: answer(.succeeded)
        case .failed(let code):
            // The kernel must not remember the attempt: the next connect(2) would end with its error.
            socket?.disconnect()
            answer(.failed(code))
        case .elsewhere(let place):
            forgetWaiting()
            connect(to: place)
        }
    }

    private func forgetWaiting() {
        inquiry?.drop()
        inquiry = nil
        if let registration { loop.deregister(registration) }
        registration = nil
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func answer(_ answer: ConnectSupervisor.Answer) {
        forgetWaiting()
        stage = .over
        socket = nil
        supervisor.answer(call, answer)
    }
}

extension TrappedConnect: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard case .attempting(var course) = stage else { return }
        switch socket {
        case let socket?: course.socketSaid(error: socket.takeError(), state: socket.tcpState)
        case nil: return
        }
        proceed(&course)
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        guard case .attempting(var course) = stage else { return }
        // The caller has been killed.
        guard supervisor.isWaiting(call) else { return answer(.failed(EINTR)) }
        proceed(&course, isInterrupted: blocks && ThreadStatus(of: call.thread).hasHandlerToRun)
    }
}
