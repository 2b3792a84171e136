import CLinux

/// An attempt on the application's own socket, in its own thread: see ``AttemptCourse``.
struct Attempt: ~Copyable {
    private let socket: Int32
    private let address: UnsafePointer<sockaddr>?
    private let length: socklen_t
    private let control: ControlDescriptor

    /// - Parameter socket: does not block.
    init(
        _ socket: Int32, to address: UnsafePointer<sockaddr>?, _ length: socklen_t,
        _ control: consuming ControlDescriptor
    ) {
        self.socket = socket
        self.address = address
        self.length = length
        self.control = control
    }

    /// Makes it, and waits for how it ends.
    ///
    /// - Parameters:
    ///   - silence: how long there may be no answer before the agent looks for another path, in milliseconds.
    ///   - budget: how long the agent may look for one, in milliseconds.
    ///   - waits: whether the application waits for as long as it takes.
    func verdict(silence: Int32, budget: Int64, waits: Bool, signals: inout SignalWatch) -> AttemptCourse.Verdict {
        var course = AttemptCourse(
            begin(), at: monotonicMilliseconds(), silence: silence, budget: budget, waits: waits,
            timeout: sendTimeout(of: socket))
        while true {
            switch course.step(at: monotonicMilliseconds(), isInterrupted: signals.interrupted) {
            case .end(let verdict): return verdict
            case .ask(let code):
                course.agentWasAsked(heard: send(.attemptFailed(code), passing: socket, over: control.number))
            case .beginAgain: course.own = begin()
            case .wait(let end):
                let pause = end.map { Int32(clamping: max(0, $0 - monotonicMilliseconds())) } ?? -1
                let ready = signals.wait(
                    readable: course.hearsAgent ? control.number : -1, writable: course.isUnderWay ? socket : -1,
                    milliseconds: pause)
                if ready.isWritable { look(&course) }
                if ready.isReadable, let verdict = hear(&course, &signals) { return verdict }
            }
        }
    }

    private func begin() -> AttemptCourse.Own {
        // Nothing that is far is connected at once.
        if nextConnect(socket, address, length) == 0 { return .deferred }
        return usl_errno() == EINPROGRESS ? .underWay : .failed(usl_errno())
    }

    private func look(_ course: inout AttemptCourse) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        course.socketSaid(error: code, state: tcpState(of: socket))
    }

    private func hear(_ course: inout AttemptCourse, _ signals: inout SignalWatch) -> AttemptCourse.Verdict? {
        switch response(on: control.number, by: monotonicMilliseconds() + 1000, signals: &signals) {
        case .response(let response): return course.agentSaid(response)
        case .unreachable, .timedOut:
            course.agentHasGone()
            return nil
        }
    }
}
