public import Engine
import SessionProtocol

/// Lines about sessions, of which many may have the same to say at one time: when a network goes, it goes for all. On the
/// main loop.
public final class GroupedNotices {
    /// How long the first of them waits for others.
    private static let window = Interval.milliseconds(50)
    /// So many have a line of their own.
    private static let individual = 3

    private let loop: EventLoop
    private let say: (String) -> Void
    /// By what is said, who it is said of.
    private var pending: [(text: String, subjects: [String], count: Int)] = []

    public init(on loop: EventLoop, say: @escaping (String) -> Void) {
        self.loop = loop
        self.say = say
    }

    /// Says `SUBJECT: TEXT` soon, or `N sessions: TEXT` if that is true of many.
    public func say(_ text: String, of subject: String) {
        if pending.isEmpty { _ = loop.schedule(self, at: loop.now + Self.window) }
        guard let index = pending.firstIndex(where: { $0.text == text }) else {
            pending.append((text, [subject], 1))
            return
        }
        pending[index].count += 1
        if pending[index].subjects.count < Self.individual { pending[index].subjects.append(subject) }
    }

    /// Says now what waits.
    public func flush() {
        let ready = pending
        pending = []
        for notice in ready {
            if notice.count > Self.individual {
                say("\(notice.count) sessions: \(notice.text)")
            } else {
                for subject in notice.subjects { say("\(subject): \(notice.text)") }
            }
        }
    }
}

extension GroupedNotices: TimerHandler {
    public func timerExpired(_ token: TimerToken, on loop: EventLoop) { flush() }
}
