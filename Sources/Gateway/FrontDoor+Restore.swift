import Engine
import Keeper
import SessionHost
import SessionProtocol
import Transport

extension FrontDoor {
    /// Goes on with a session of the predecessor.
    func restore(_ stored: consuming StoredSession) {
        let snapshot = stored.snapshot
        guard case .keyShares(let opener, let own) = snapshot.identity.details,
            let id = SessionID(ledgerBytes: snapshot.identity.session),
            let place = pool.place(of: snapshot)
        else { return stored.abandon(escrow) }
        let words = OpenedMessage(
            keyShare: own, instance: instance, suspendLimit: snapshot.identity.suspendLimit)
        admission.takeOver()
        if let leg = try? stored.leg?.localAddress() { clients.note(id, leg: leg, client: snapshot.identity.peer) }
        registry.open(id, .init(keyShare: opener, answer: .unsealed(words), place: place))
        let (handoff, main, door, instance) = (Handoff(stored), loop.mailbox, LoopBound(self, on: loop), instance)
        place.mailbox.post { loop in
            guard var stored = handoff.take(), let journal = stored.journal.take() else { return }
            let table = place.sessions.on(loop)
            let owner = GatewaySession(
                escrowKey: snapshot.identity.leg, table: table, main: main, door: door, journal: journal)
            do throws(RestoreFailure) {
                let driver = try SessionDriver.restore(
                    snapshot, key: stored.key.take(), leg: stored.leg.take(), over: nil, .plain, instance: instance,
                    buffers: SessionBuffers(),
                    on: loop, owner: owner)
                table.add(SessionEntry(driver: driver, program: nil, owner: owner))
            } catch {
                // The leg was reset. The opener is told when it comes back.
                let gone = GoneMessage(reason: .unknown, instance: instance, positions: nil)
                main.post {
                    door.on($0).sessionEnded(id, gone)
                    door.on($0).escrow.release(snapshot.identity.leg)
                }
            }
        }
    }

    /// Answers an OPEN of a live session as the first one was answered.
    func answer(
        _ greeting: Greeting, _ id: SessionID, _ frame: [UInt8], _ session: SessionRegistry.LiveSession
    ) {
        switch session.answer {
        case .sealed(let opened): greeting.answerAndGoOn(opened)
        case .unsealed(let words):
            let unsealed = words.unsealed(answering: frame)
            let (main, greeting, place) = (loop.mailbox, LoopBound(greeting, on: loop), session.place)
            place.mailbox.post { loop in
                // Only the session's own loop has its key.
                guard let proof = place.sessions.on(loop)[id]?.proof(of: unsealed.transcript) else { return }
                main.post { greeting.on($0).answerAndGoOn(unsealed.sealed(with: proof)) }
            }
        }
    }
}
