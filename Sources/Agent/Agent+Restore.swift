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
        relays.adopt(&estate)
        estate.take(.offer) { key, channel in offers.adopt(channel, key) }
        while let session = estate.nextSession() { restore(session, &estate) }
        estate.finish(escrow)
        pool.estateIsSettled()
    }

    private func restore(_ stored: consuming StoredSession, _ estate: inout Estate) {
        let snapshot = stored.snapshot
        guard snapshot.flags.contains(.opened) else { return openAnew(stored) }
        guard let id = SessionID(ledgerBytes: snapshot.identity.session), let place = pool.place(of: snapshot),
            let connection = RestoredConnection(stored, session: Session(id: id, place: place), self)
        else { return stored.abandon(escrow) }
        guard let route = route(of: snapshot.identity) else {
            notices.alarm(
                "\(connection.program) to \(snapshot.identity.destination): the rule that named its gateway is gone; the "
                    + "connection is reset")
            return stored.abandon(escrow)
        }
        let protection: LinkProtection
        do { protection = try self.protection(of: route) } catch {
            notices.alarm(
                "\(connection.program) to \(snapshot.identity.destination): \(error); the connection is reset")
            return stored.abandon(escrow)
        }
        // The gateway's answer has come, and its client may not have heard of it.
        if connection.program == Applicant.socksName, !snapshot.flags.contains(.legEstablished) {
            stored.leg?.grantIfOwed(to: snapshot.identity.destination)
        }
        let stray = connection.source.flatMap { stored.leg == nil ? estate.takeLeg(from: $0) : nil }
        let held = waiting(at: stored.held.take(), snapshot.identity.leg)
        begin(stored, connection, route.paths, protection)
        if options.gateway == nil, let name = route.name {
            // The ledger has the first address alone, and the resolver takes its time.
            rules.addresses(of: name) { addresses in
                connection.session.withDriver { driver, _ in driver.learn(addresses) }
            }
        }
        if let (key, leg) = stray {
            held?.end()
            connection.found(leg, key)
        } else if let held {
            connection.release(held)
        } else {
            connection.awaitLeg()
        }
    }

    private func route(of identity: LedgerIdentity) -> GatewayRoute? {
        var route = rules.route(of: identity)
        if route?.name == nil, isOffered(identity) { route?.offered = identity.destination }
        return route
    }

    /// Whether a predecessor has found a gateway that may go with its server, as far as that is remembered.
    private func isOffered(_ identity: LedgerIdentity) -> Bool {
        if options.isPlain || trust.knows("\(identity.peer)") { return false }
        return trust.knows("\(identity.destination)") || detection.isOffered(identity.destination)
    }

    /// Without OPENED there is no key to resume with, and nothing was delivered yet: an application that has been told where
    /// to go gets another session. One that is still asking asks again.
    private func openAnew(_ stored: consuming StoredSession) {
        let (snapshot, identity) = (stored.snapshot, stored.snapshot.identity)
        guard case .application(let application) = identity.details, let route = route(of: identity) else {
            return stored.abandon(escrow)
        }
        if let held = waiting(at: stored.held.take(), identity.leg) {
            ConnectRequest.goOn(
                application, identity.destination, through: route, at: held,
                heldUnder: identity.leg, self)
        } else if application.source == nil, snapshot.tail == 0, snapshot.flags.isSubset(of: .legEstablished),
            let leg = stored.leg.take()
        {
            if application.program == Applicant.socksName {
                ProxyRequest.goOn(leg, escrowKey: identity.leg, to: identity.destination, through: route, self)
            } else {
                ForwardedConnection.goOn(
                    leg, escrowKey: identity.leg, to: identity.destination, through: route, self)
            }
        } else {
            stored.abandon(escrow)
        }
    }

    /// The application at a held address. Without memory or a descriptor for that, it is refused.
    private func waiting(at listener: consuming Descriptor?, _ key: EscrowKey) -> HeldApplication? {
        guard let listener else { return nil }
        do { return try HeldApplication(adopting: listener, key, self) } catch {
            escrow.release(key)
            return nil
        }
    }

    private func begin(
        _ stored: consuming StoredSession, _ connection: RestoredConnection, _ paths: LinkPaths,
        _ protection: LinkProtection
    ) {
        let snapshot = stored.snapshot
        let (handoff, main, handler) = (
            Handoff(stored), loop.mailbox, LoopBound(counted(connection.happened), on: loop)
        )
        let (place, program) = (connection.session.place, connection.program)
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
                    snapshot, key: stored.key.take(), leg: stored.leg.take(), over: paths, protection,
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
