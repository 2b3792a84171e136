import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// A connection of an application whose agent has died, on the main loop of the next.
final class RestoredConnection {
    let session: Agent.Session
    let program: String
    /// Where the leg comes from; nil if it is there.
    let source: SocketAddress?
    private let agent: Agent
    private let destination: SocketAddress
    private let gateway: SocketAddress
    private let application: LedgerIdentity.Application
    private var escrowKey: EscrowKey?
    private var tickets: [LegDesk.Ticket] = []
    private var held: HeldApplication?
    private var timer: TimerToken?

    /// nil for a session that no agent has made.
    init?(_ stored: borrowing StoredSession, session: Agent.Session, _ agent: Agent) {
        let identity = stored.snapshot.identity
        guard case .application(let application) = identity.details else { return nil }
        self.session = session
        self.agent = agent
        self.application = application
        program = application.program
        destination = identity.destination
        gateway = identity.peer
        escrowKey = identity.leg.value == 0 || stored.held != nil ? nil : identity.leg
        let hadLeg = !stored.snapshot.flags.isDisjoint(with: [.legEstablished, .legClosed, .aborting])
        source = hadLeg || escrowKey != nil ? nil : application.source
        if application.cookie != 0 {
            let asked = application.isMapped ? destination.mapped : destination
            let local = application.source.map {
                ExpectedLeg(
                    source: $0, destination: asked, cookie: application.cookie,
                    proof: LegProof(ledgerValue: application.proof)
                ).localName
            }
            agent.knownSockets.remember(
                application.cookie, SocketNames(peer: AddressBytes(asked), local: local.map { AddressBytes($0) }),
                by: self)
        }
        if hadLeg, let leg = try? stored.leg?.localAddress(), let from = application.source,
            let ticket = agent.desk.occupy(leg.unmapped, by: from)
        {
            tickets = [ticket]
        }
    }

    // MARK: - The leg

    /// The predecessor had accepted it, and put it into escrow, but not said so in its ledger.
    func found(_ leg: Handoff<TCPSocket>, _ key: EscrowKey) {
        escrowKey = key
        session.bring(leg, key)
    }

    /// The application is about to connect, or to ask once more where.
    func awaitLeg() {
        guard let expected else { return }
        do throws(Errno) {
            tickets = try agent.desk.expectAnywhere(expected) { [self] leg, key in arrived(leg, key) }
            awaitLeg(expected, at: tickets[0].address)
        } catch {
            abandonLeg()
        }
    }

    /// The application waits at a held address, and may come now.
    func release(_ held: HeldApplication) {
        guard let expected else { return held.end() }
        self.held = held
        awaitLeg(expected, at: held.address)
        held.release(expected) { [self] leg, key in
            arrived(leg, key)
        } failed: { [self] _ in
            stopWaiting()
            abandonLeg()
        }
    }

    private var expected: ExpectedLeg? {
        source.map {
            ExpectedLeg(
                source: $0, destination: application.isMapped ? destination.mapped : destination,
                cookie: application.cookie, proof: LegProof(ledgerValue: application.proof))
        }
    }

    private func awaitLeg(_ expected: ExpectedLeg, at address: SocketAddress) {
        agent.knownSockets.promise(
            .leg(AddressBytes(expected.spelling(of: address))), to: expected, by: self)
        timer = agent.loop.schedule(self, at: agent.loop.now + expected.legLimit)
    }

    private func arrived(_ leg: consuming Leg, _ key: EscrowKey? = nil) {
        let local = try? leg.localAddress
        for ticket in tickets where ticket.address != local { agent.desk.giveBack(ticket) }
        tickets.removeAll { $0.address != local }
        stopWaiting()
        escrowKey = agent.bring(leg, key, to: session)
    }

    private func abandonLeg() { session.withDriver { driver, _ in driver.abandonLeg() } }

    private func stopWaiting() {
        if let timer { agent.loop.cancel(timer) }
        timer = nil
        held?.end()
        held = nil
        agent.knownSockets.forgetPromise(to: application.cookie, by: self)
    }

    // MARK: - The session

    func happened(_ event: SessionEvent) {
        switch event {
        case .opened: break
        case .linkFailed(let failure):
            agent.notices.explain("\(program) to \(destination): link lost: \(failure.explanation); resuming")
        case .suspension(let change): agent.notice(change, of: "\(program) to \(destination)", through: "\(gateway)")
        case .givenUp(let surrender): agent.notice(surrender, of: "\(program) to \(destination)")
        case .ended(let ending):
            if ending.isFailure { agent.noteFailure(session.id) }
            if let text = ending.explanation {
                agent.notices.warn("\(program) to \(destination): \(text)")
            }
        case .legClosed: releaseLeg()
        case .finished:
            stopWaiting()
            releaseLeg()
            for ticket in tickets { agent.desk.giveBack(ticket) }
            tickets = []
            agent.knownSockets.forget(application.cookie, by: self)
            agent.sessionFinished(session.id)
        }
    }

    private func releaseLeg() {
        if let escrowKey { agent.escrow.release(escrowKey) }
        escrowKey = nil
    }
}

extension RestoredConnection: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        stopWaiting()
        abandonLeg()
    }
}
