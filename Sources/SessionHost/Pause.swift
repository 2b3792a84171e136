import Engine

/// A timer for one closure.
final class Pause: TimerHandler {
    private let body: () -> Void

    init(_ body: @escaping () -> Void) { self.body = body }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) { body() }
}
