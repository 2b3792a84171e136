public import Engine
import Kernel
public import SessionProtocol
import SystemPackage

/// What people are told of a session that cannot go on, or goes on again.
public enum SuspensionChange: Sendable {
    /// It has been without an answer for ``SuspensionWatch/patience``, and why; it stays for as long as the limit.
    case suspended(why: String, limit: Interval)
    /// Said only if the other was.
    case resumed(after: Interval)
}

/// Notices when a session is suspended for longer than people should wonder about. On the session's loop; costs nothing
/// while nothing is suspended.
public final class SuspensionWatch {
    /// Shorter pauses are nobody's business.
    public static let patience = Interval.seconds(3)

    private enum Phase {
        case calm
        case waiting(TimerToken, since: Instant)
        case told(since: Instant)
    }

    private var phase = Phase.calm
    private weak var driver: SessionDriver?
    private let tell: (SessionDriver, SuspensionChange) -> Void

    public init(tell: @escaping (SessionDriver, SuspensionChange) -> Void) { self.tell = tell }

    /// To be called whenever the session has another state.
    public func stateChanged(_ driver: SessionDriver) {
        let (now, isSuspended) = (driver.loop.now, driver.session.state == .suspended)
        switch phase {
        case .calm where isSuspended:
            self.driver = driver
            phase = .waiting(driver.loop.schedule(self, at: now + Self.patience), since: now)
        case .waiting(let token, _) where !isSuspended:
            driver.loop.cancel(token)
            phase = .calm
        case .told(let since) where !isSuspended:
            phase = .calm
            // The end of a session is told by whoever knows why.
            if !driver.session.isOver { tell(driver, .resumed(after: now - since)) }
        case .calm, .waiting, .told: break
        }
    }
}

extension SuspensionWatch: TimerHandler {
    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        guard case .waiting(_, let since) = phase, let driver else { return }
        phase = .told(since: since)
        let session = driver.session
        tell(driver, .suspended(why: session.interruption, limit: session.configuration.suspendLimit))
    }
}

extension Session {
    /// Why there is no answer, in a few words for people.
    fileprivate var interruption: String {
        switch lastFailure {
        case .socket(let code) where Errno(rawValue: code) == .connectionReset: "link reset"
        case .socket(let code): "\(Errno(rawValue: code))"
        case _ where reason == "silent": "silence"
        case let failure?: String(failure.reason.map { $0 == "-" ? " " : $0 })
        case nil: "no link"
        }
    }
}

extension Interval {
    /// For people: `12 s`, `5 min 10 s`, `24 h`; two units at most.
    public var text: String {
        let parts = [
            (seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s"),
        ]
        // A limit is a day as 24 h, as in the configuration.
        if seconds == 86_400 { return "24 h" }
        guard let first = parts.firstIndex(where: { $0.0 > 0 }) else { return "\(millisecondsRoundedUp) ms" }
        return parts[first...].prefix(2).filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: " ")
    }
}
