import Engine
import SessionProtocol

/// Ends a gateway that serves nothing but what server programs offer, once the last of them has gone, and every session with it. On
/// the main loop.
final class PassingGateway: TimerHandler {
    /// How long openers that have lost their link at the very end can still hear that their session is over.
    private static let afterglow = Interval.seconds(10)

    private let loop: EventLoop
    private unowned let door: FrontDoor
    private let end: () -> Void
    private var timer: TimerToken?

    /// - Parameter end: called once.
    init(_ door: FrontDoor, on loop: EventLoop, end: @escaping () -> Void) {
        self.door = door
        self.loop = loop
        self.end = end
    }

    /// Something that kept it has gone.
    func check() {
        guard timer == nil, door.isIdle else { return }
        let pause = door.registry.remembersEnded ? Self.afterglow : .milliseconds(0)
        timer = loop.schedule(self, at: loop.now + pause)
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        if door.isIdle { end() }
    }
}
