import Engine
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import Transport

extension Agent {
    /// Takes over what a predecessor has left, but for the arenas, the ledger and the public listeners.
    func settle(_ estate: consuming Estate) {
        estate.take(.desk) { key, listener in desk.adopt(listener, key) }
        while let session = estate.nextSession() { restore(session, &estate) }
        estate.finish(escrow)
        pool.estateIsSettled()
    }

    private func restore(_ stored: consuming StoredSession, _ estate: inout Estate) {
        let snapshot = stored.snapshot
        // Without OPENED there is no key to resume with, and nothing was delivered yet. A program that is still asking
        // asks again.
        guard snapshot.flags.contains(.opened), let id = SessionID(ledgerBytes: snapshot.identity.session),
            let place = pool.place(of: snapshot),
            let connection = RestoredConnection(stored, session: Session(id: id, place: place), self)
        else { return stored.abandon(escrow) }
        let stray = connection.source.flatMap { stored.leg == nil ? estate.takeLeg(from: $0) : nil }
        begin(stored, connection)
        if let (key, leg) = stray { connection.found(leg, key) } else { connection.awaitLeg() }
    }

    private func begin(_ stored: consuming StoredSession, _ connection: RestoredConnection) {
        let snapshot = stored.snapshot
        let (handoff, main, handler) = (
            Handoff(stored), loop.mailbox, LoopBound(counted(connection.happened), on: loop)
        )
        let (place, program) = (connection.session.place, connection.program)
        let others = (options.gateway?.addresses ?? []).filter { $0 != snapshot.identity.peer }
        let paths = linkPaths(to: [snapshot.identity.peer] + others)
        countConnections(+1)
        admission.takeOver()
        place.mailbox.post { [alarm, network = watch?.state] loop in
            guard var stored = handoff.take() else { return }
            let table = place.sessions.on(loop)
            let owner = OpeningSession(table: table, journal: stored.journal.take(), alarm: alarm) { event in
                main.post { handler.on($0)(event) }
            }
            do throws(RestoreFailure) {
                let driver = try SessionDriver.restore(
                    snapshot, key: stored.key.take(), leg: stored.leg.take(), over: paths,
                    network: network, instance: snapshot.instance,
                    buffers: SessionBuffers(), on: loop, owner: owner)
                table.add(SessionEntry(driver: driver, program: program, owner: owner))
            } catch {
                main.post { handler.on($0)(.ended(.dropped(.exhausted))) }
                main.post { handler.on($0)(.finished) }
            }
        }
    }
}
