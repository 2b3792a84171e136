import Engine
import Kernel
import SessionHost
import SessionProtocol

/// What a session of the agent tells its maker, on the main loop.
enum SessionEvent: Sendable {
    case opened
    case linkFailed(LinkFailure)
    case suspension(SuspensionChange)
    /// This agent gives it up; its end follows when the gateway knows, or could not be told.
    case givenUp(Surrender)
    case ended(Ending)
    case legClosed
    case finished
}

/// Owns one session of the agent, on the session's loop, and passes on what happens to the main one.
final class OpeningSession: SessionOwner {
    private let table: SessionTable
    private var journal: SessionJournal?
    private let alarm: NeighbourAlarm
    private var isGivenUp = false
    private let tell: @Sendable (SessionEvent) -> Void
    private lazy var watch = SuspensionWatch { [tell] in tell(.suspension($1)) }

    init(
        table: SessionTable, journal: consuming SessionJournal?, alarm: NeighbourAlarm,
        tell: @escaping @Sendable (SessionEvent) -> Void
    ) {
        self.table = table
        self.alarm = alarm
        self.journal = journal
        self.tell = tell
    }

    func sessionOpened(_ driver: SessionDriver) { tell(.opened) }
    func sessionEnded(_ driver: SessionDriver, _ ending: Ending) {
        noteSurrender(driver)
        tell(.ended(ending))
    }
    func legClosed(_ driver: SessionDriver) { tell(.legClosed) }
    func linkFailed(_ driver: SessionDriver, _ failure: LinkFailure) { tell(.linkFailed(failure)) }

    func stateChanged(_ driver: SessionDriver) {
        noteSurrender(driver)
        watch.stateChanged(driver)
    }

    private func noteSurrender(_ driver: SessionDriver) {
        guard !isGivenUp, let surrender = table.surrender(of: driver.session.id) else { return }
        isGivenUp = true
        tell(.givenUp(surrender))
    }

    func linkBroke(_ driver: SessionDriver, to host: SocketAddress.Host) { alarm.raise(host, driver.loop.now) }

    func driverFinished(_ driver: SessionDriver) {
        table.remove(driver.session.id)
        journal = nil
        tell(.finished)
    }

    func recoveryFactsChanged(_ driver: SessionDriver, _ change: RecoveryChange) { journal?.note(change, driver) }
}
