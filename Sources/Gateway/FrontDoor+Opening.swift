import Engine
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// How an OPEN becomes a session.
extension FrontDoor {
    func opened(_ open: OpenMessage, _ frame: [UInt8], _ greeting: Greeting) {
        greeting.session = open.session
        switch registry[open.session] {
        case .pending(let pending):
            guard pending.open.keyShare == open.keyShare else { return refuse(greeting, .identifierInUse) }
            pending.others.append(greeting)
        case .live(let session):
            guard session.keyShare == open.keyShare else { return refuse(greeting, .identifierInUse) }
            answer(greeting, open.session, frame, session)
        case .over(let epitaph): greeting.dismiss(saying: epitaph.encoded)
        case nil:
            let client = greeting.peerKey.flatMap(links.clientName)
            openTarget(PendingSession(open, frame: frame, first: greeting, client: client))
        }
    }

    func refuse(_ greeting: Greeting, _ code: RefusedMessage.Code, _ text: String = "") {
        greeting.dismiss(saying: RefusedMessage(code: code, text: text).encoded)
    }

    private func openTarget(_ pending: PendingSession) {
        let asked = pending.open.destination.socketAddress
        guard let targets = targets(of: asked, for: pending.remote)?.targets else {
            turnAway(pending.remote, .notAllowed, pending.line("\(asked) refused: no --allow has it"))
            if let first = pending.first { refuse(first, .notAllowed, options.allow.refusal(of: asked)) }
            return
        }
        if let full = strangers.open(pending, loop.now) {
            if let first = pending.first { refuse(first, .exhausted, "at the gateway, \(full)") }
            return
        }
        registry.add(pending)
        admission.admit { [self] shortage in
            guard let shortage else { return connect(pending, targets[...]) }
            turnAway(
                pending.remote, .exhausted,
                pending.line("\(asked) refused: \(shortage.explanation), and no session is suspended"))
            forget(pending)
            for greeting in pending.all { refuse(greeting, .exhausted, "at the gateway, \(shortage.explanation)") }
        }
    }

    /// Where to connect for a destination that an opener asks for, and for how long that is so: a front's leads to what is behind it.
    /// nil if it is not allowed.
    func targets(
        of asked: SocketAddress, for remote: SocketAddress
    ) -> (targets: [SocketAddress], service: AnswerMessage.Service)? {
        let asked = asked.unmapped
        if let front = options.fronts.first(where: { $0.serves(asked, ownAddresses: AllowList.hostAddresses) }) {
            return (front.targets, .served)
        }
        if let target = options.allow.address(for: asked, ownAddresses: AllowList.hostAddresses) {
            return ([target], .served)
        }
        return offers.target(for: asked, from: remote, ownAddresses: AllowList.hostAddresses).map { ([$0], .offered) }
    }

    /// What becomes of an OPEN with that destination.
    func service(for ask: AskMessage, of remote: SocketAddress) -> AnswerMessage.Service {
        targets(of: ask.destination.socketAddress, for: remote)?.service ?? .unserved
    }

    /// - Parameter targets: not empty; the first that can be connected to is the one.
    private func connect(_ pending: PendingSession, _ targets: ArraySlice<SocketAddress>) {
        var others = targets
        guard let target = others.popFirst() else { return }
        let header =
            options.sendsProxyHeader
            ? ProxyHeader.encode(source: pending.remote, destination: pending.open.destination.socketAddress) : []
        TargetConnection.open(to: target, sending: header, on: loop) { descriptor, then in
            escrow.hold(.leg, descriptor, then: then)
        } connecting: { [self] leg in
            clients.note(pending.open.session, leg: leg, client: pending.remote)
        } done: { [self] result in
            switch consume result {
            case .connected(let socket, let key): begin(pending, socket, target, key)
            case .failed(let error, let key):
                if let key { escrow.release(key) }
                if others.isEmpty { fail(pending, error, target) } else { connect(pending, others) }
            }
        }
    }

    private func fail(_ pending: PendingSession, _ error: Errno, _ target: SocketAddress) {
        admission.leave()
        forget(pending)
        strangers.note(pending.line("\(target): \(error)"), of: pending.remote, loop.now)
        for greeting in pending.all { refuse(greeting, RefusedMessage.Code(error), "\(target): \(error)") }
    }

    /// The target has accepted: the session begins on a loop of its own.
    private func begin(
        _ pending: PendingSession, _ socket: consuming TCPSocket, _ target: SocketAddress, _ escrowKey: EscrowKey
    ) {
        do {
            let agreement = try loop.keyPair.take()
            loop.keyPair.replenish()
            let id = pending.open.session
            let key = try agreement.resumeKey(as: .acceptor, of: id, with: pending.open.keyShare)
            let suspendLimit = min(self.suspendLimit, .seconds(UInt64(pending.open.suspendLimit)))
            let unsealed = OpenedMessage(
                keyShare: agreement.share, instance: instance,
                suspendLimit: UInt32(clamping: suspendLimit.nanoseconds / 1_000_000_000)
            ).unsealed(answering: pending.frame)
            guard let proof = Proof(bytes: try key.proof(of: unsealed.transcript)) else {
                preconditionFailure("an HMAC-SHA256 is a proof")
            }
            let opened = unsealed.sealed(with: proof)
            let journal = ledger.open(
                id, .acceptor, peer: pending.remote, destination: target, suspendLimit: suspendLimit, leg: escrowKey,
                .keyShares(opener: pending.open.keyShare, own: agreement.share))
            journal.keyIs(key)
            let place = pool.place()
            strangers.settle(pending)
            registry.open(id, .init(keyShare: pending.open.keyShare, answer: .sealed(opened), place: place))
            let seed = NewSession(
                id: id, key: key, instance: instance, opened: opened, target: target, socket: socket,
                first: pending.first?.handOver(unread: []), suspendLimit: suspendLimit, escrowKey: escrowKey,
                journal: journal)
            let (handoff, main, door) = (Handoff(seed), loop.mailbox, LoopBound(self, on: loop))
            place.mailbox.post { loop in
                handoff.take()?.begin(on: loop, table: place.sessions.on(loop), main: main, door: door)
            }
            for greeting in pending.others { greeting.answerAndGoOn(opened) }
        } catch {
            admission.leave()
            logger.error("cannot begin a session to \(target): \(error)")
            escrow.release(escrowKey)
            forget(pending)
            for greeting in pending.all { refuse(greeting, .failed, "the gateway failed") }
        }
    }

    /// It will not be a session.
    private func forget(_ pending: PendingSession) {
        strangers.settle(pending)
        registry.forget(pending.open.session)
        clients.forget(pending.open.session)
    }
}

extension RefusedMessage.Code {
    /// What connecting to the target failed with.
    init(_ error: Errno) {
        switch error {
        case .connectionRefused: self = .connectionRefused
        case .networkUnreachable: self = .networkUnreachable
        case .noRouteToHost: self = .hostUnreachable
        case .timedOut: self = .timedOut
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory: self = .exhausted
        default: self = .failed
        }
    }
}
