import Engine
import Keeper
import SessionHost
import SessionProtocol

/// Owns one session of the gateway, on the session's loop.
final class GatewaySession: SessionOwner {
    private let escrowKey: EscrowKey
    private let table: SessionTable
    /// Called on the front door's loop.
    private let main: LoopMailbox
    private let door: LoopBound<FrontDoor>
    private var journal: SessionJournal?
    private lazy var watch = SuspensionWatch { [unowned self] driver, change in notice(change, of: driver) }

    init(
        escrowKey: EscrowKey, table: SessionTable, main: LoopMailbox, door: LoopBound<FrontDoor>,
        journal: consuming SessionJournal
    ) {
        self.escrowKey = escrowKey
        self.table = table
        self.main = main
        self.door = door
        self.journal = consume journal
    }

    func sessionOpened(_ driver: SessionDriver) {}

    func stateChanged(_ driver: SessionDriver) { watch.stateChanged(driver) }

    func sessionEnded(_ driver: SessionDriver, _ ending: Ending) {
        let (id, door) = (driver.session.id, door)
        let surrender = table.surrender(of: id)
        if let text = ending.explanation(of: surrender) { notice(text, of: driver) }
        guard let epitaph = driver.session.epitaph else { return }
        main.post { door.on($0).sessionEnded(id, epitaph) }
    }

    private func notice(_ change: SuspensionChange, of driver: SessionDriver) {
        switch change {
        case .suspended(let why, let limit):
            notice("no link for \(SuspensionWatch.patience.text) (\(why)); kept for up to \(limit.text)", of: driver)
        case .resumed(let after): notice("resumed after \(after.text)", of: driver)
        }
    }

    private func notice(_ text: String, of driver: SessionDriver) {
        let report = driver.report
        let door = door
        main.post {
            let door = door.on($0)
            door.notices.say(text, of: "session \(report.id.hex.prefix(8)) \(report.way(door.links))")
        }
    }

    func legClosed(_ driver: SessionDriver) {
        let (door, key) = (door, escrowKey)
        main.post { door.on($0).escrow.release(key) }
    }

    func driverFinished(_ driver: SessionDriver) {
        table.remove(driver.session.id)
        journal = nil
    }

    func linkFailed(_ driver: SessionDriver, _ failure: LinkFailure) {}

    func recoveryFactsChanged(_ driver: SessionDriver, _ change: RecoveryChange) { journal?.note(change, driver) }
}

extension SessionReport {
    /// For the log: from where, and of whom where that is known, to where.
    func way(_ links: LinkAdmission) -> String {
        let name = peerKey.flatMap(links.clientName).map { " (\($0))" } ?? ""
        return "from \(peer?.description ?? "?")\(name) to \(destination)"
    }
}

extension Ending {
    /// For the log, where it is not what plain TCP would have done.
    ///
    /// - Parameter surrender: why this process gave the session up, if it did.
    fileprivate func explanation(of surrender: Surrender?) -> String? {
        switch self {
        case .finished, .abortedHere, .abortedByPeer, .refused: nil
        case .dropped: surrender?.explanation.map { "\($0); the server's connection is reset" }
        case .expired: "no link for longer than the suspend limit; the server's connection is reset"
        case .unconfirmed: "the agent has opened it and not come back; the server's connection is reset"
        case .gone(.ending): "the agent has ended or given it up; the server's connection is reset"
        case .gone(.dropped): "given up by hand at the agent (usl drop); the server's connection is reset"
        case .gone(.exhausted): "the agent gave it up to stay inside its limits; the server's connection is reset"
        case .gone(let reason): "the agent has ended it (\(reason)); the server's connection is reset"
        case .violation(let violation):
            "the agent broke the protocol (\(violation)); the server's connection is reset"
        }
    }
}
