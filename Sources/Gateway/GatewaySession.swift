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

    func sessionEnded(_ driver: SessionDriver, _ ending: Ending) {
        guard let epitaph = driver.session.epitaph else { return }
        let id = driver.session.id
        let door = door
        main.post { door.on($0).sessionEnded(id, epitaph) }
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
