import SessionProtocol

/// A gateway before there is a proof: what it does with OPEN and ATTACH (rules 1, 6, 7 and 8).
struct Admission {
    /// A connection whose first frame has not come, or that waits for another.
    struct Newcomer {
        let connection: ConnectionID
        var decoder = FrameDecoder()
        /// Has sent OPEN and waits for the target.
        var waits = false
    }

    /// A target that has not answered yet.
    struct Pending {
        let open: OpenMessage
        /// The connection of the first OPEN, while it lives.
        var first: ConnectionID?
    }

    /// The time that a newcomer has for its first frame.
    static let limit = Interval.seconds(10)

    let instance: UInt64
    var newcomers: [Newcomer] = []
    var pending: Pending?
    /// The answer to the OPEN that made the session, and to each repetition of it.
    var answer: (open: OpenMessage, frame: [UInt8])?
    var serverConnections = 0
    /// The process that knew how the session has ended is dead.
    var hasForgotten = false

    func index(of connection: ConnectionID) -> Int? { newcomers.firstIndex { $0.connection == connection } }
}

extension World {
    func accept(_ id: ConnectionID) {
        admission.newcomers.append(Admission.Newcomer(connection: id))
        _ = write(Wire.preface[...], to: id, by: .acceptor)
        schedule.add(.admissionOver(id), at: now + Admission.limit)
    }

    /// Bytes for the gateway: for a link of the session, or from a newcomer.
    func admit(_ bytes: [UInt8], on id: ConnectionID) {
        if let acceptor, acceptor.link(over: id) != nil { return take(bytes, on: id, at: acceptor) }
        var cursor = 0
        while let index = admission.index(of: id) {
            let event: FrameDecoder.Event
            do {
                event = try admission.newcomers[index].decoder.next(bytes.span.bytes, &cursor)
            } catch {
                return dismiss(id)
            }
            switch event {
            case .needMore: return
            case .preface: continue
            case .frame(let header) where header.type == .open && !admission.newcomers[index].waits:
                takeOpen(admission.newcomers[index].decoder.payload, on: index)
            case .frame(let header) where header.type == .attach && !admission.newcomers[index].waits:
                takeAttach(header, admission.newcomers[index].decoder.payload, on: index)
            case .frame, .dataHeader, .data: return dismiss(id)
            }
            // The session has the link now, and whatever has come behind the frame.
            if let acceptor, acceptor.link(over: id) != nil {
                take(Array(bytes[cursor...]), on: id, at: acceptor)
                return
            }
        }
    }

    func admissionOver(_ id: ConnectionID) {
        guard let index = admission.index(of: id), !admission.newcomers[index].waits else { return }
        dismiss(id)
    }

    private func dismiss(_ id: ConnectionID) {
        forget(id, at: .acceptor)
    }

    /// A connection without a link is over.
    func forget(_ id: ConnectionID, at role: Role) {
        if role == .acceptor {
            admission.newcomers.removeAll { $0.connection == id }
            if admission.pending?.first == id { admission.pending?.first = nil }
        }
        close(id, by: role)
    }

    /// The last words to a newcomer.
    private func say(_ frame: [UInt8], to id: ConnectionID) {
        _ = write(frame[...], to: id, by: .acceptor)
        forget(id, at: .acceptor)
    }

    private var unknown: [UInt8] {
        GoneMessage(reason: .unknown, instance: admission.instance, positions: nil).encoded
    }

    // MARK: OPEN

    private func takeOpen(_ payload: [UInt8], on index: Int) {
        let id = admission.newcomers[index].connection
        let open: OpenMessage
        do {
            open = try OpenMessage(payload: payload)
        } catch {
            return say(RefusedMessage(code: .malformed, text: "").encoded, to: id)
        }
        trace.note("the gateway has OPEN on connection \(id)")
        if let answer = admission.answer {
            guard answer.open == open else {
                return say(RefusedMessage(code: .identifierInUse, text: "").encoded, to: id)
            }
            if admission.hasForgotten { return say(unknown, to: id) }
            if let epitaph = acceptor?.session.epitaph { return say(epitaph.encoded, to: id) }
            _ = write(answer.frame[...], to: id, by: .acceptor)
        } else if let pending = admission.pending {
            guard pending.open == open else {
                return say(RefusedMessage(code: .identifierInUse, text: "").encoded, to: id)
            }
            admission.newcomers[index].waits = true
        } else if open == openMessage {
            admission.newcomers[index].waits = true
            admission.pending = Admission.Pending(open: open, first: id)
            schedule.add(.targetAnswers, at: now + scenario.targetDelay)
        } else {
            // An attacker's own session is none of this run's.
            dismiss(id)
        }
    }

    func targetAnswers() {
        guard let pending = admission.pending else { return }
        admission.pending = nil
        let waiting = admission.newcomers.filter { $0.waits }
        if scenario.targetRefuses {
            for newcomer in waiting {
                say(RefusedMessage(code: .connectionRefused, text: "").encoded, to: newcomer.connection)
            }
            return
        }
        admission.serverConnections += 1
        if admission.serverConnections > 1 { complain("a second connection to the server for one session") }
        let share = random.bytes(Wire.keyShareLength)
        let key = ToyKey(secret: secret, openerShare: pending.open.keyShare, acceptorShare: share)
        let answer = OpenedMessage(
            keyShare: share, instance: admission.instance, suspendLimit: UInt32(clamping: scenario.suspendLimit.seconds)
        )
        .unsealed(answering: pending.open.encoded)
        let frame = answer.sealed(with: key.proof(of: answer.transcript))
        admission.answer = (pending.open, frame)
        overhear(frame, from: .acceptor)
        let first = waiting.first { $0.connection == pending.first }
        var configuration = configuration(of: .acceptor)
        configuration.suspendLimit = scenario.suspendLimit
        let session = Session.acceptor(
            pending.open.session, instance: admission.instance, opened: frame, link: first?.decoder,
            configuration, now)
        let endpoint = Endpoint(role: .acceptor, plan: scenario.acceptor, configuration, session: session, now)
        endpoint.key = key
        acceptor = endpoint
        trace.note("the target has accepted; link 0 is connection \(first?.connection ?? -1)")
        for newcomer in waiting {
            if newcomer.connection == first?.connection {
                admission.newcomers.removeAll { $0.connection == newcomer.connection }
                endpoint.links.append(Endpoint.LinkIO(number: 0, connection: newcomer.connection))
            } else if let index = admission.index(of: newcomer.connection) {
                admission.newcomers[index].waits = false
                schedule.add(.admissionOver(newcomer.connection), at: now + Admission.limit)
                _ = write(frame[...], to: newcomer.connection, by: .acceptor)
            }
        }
        scheduleApplication(endpoint)
        if let after = scenario.acceptor.dropsAfter { schedule.add(.drop(.acceptor), at: now + after) }
        settle(.acceptor)
    }

    // MARK: ATTACH

    private func takeAttach(_ header: FrameHeader, _ payload: [UInt8], on index: Int) {
        let newcomer = admission.newcomers[index]
        let attach: Unverified<AttachClaim>
        do {
            attach = try AttachClaim.decode(header, payload)
        } catch {
            return dismiss(newcomer.connection)
        }
        guard let acceptor, let key = acceptor.key, attach.session == acceptor.session.id, !admission.hasForgotten
        else {
            return say(unknown, to: newcomer.connection)
        }
        if let epitaph = acceptor.session.epitaph { return say(epitaph.encoded, to: newcomer.connection) }
        guard let verified = attach.verified(by: key.proof(of: attach.transcript)) else {
            let gone = GoneMessage(reason: .unproven, instance: admission.instance, positions: nil)
            return say(gone.encoded, to: newcomer.connection)
        }
        switch acceptor.session.join(verified, newcomer.decoder, now) {
        case .joined(let claim):
            trace.note("link \(claim.link) joins over connection \(newcomer.connection), epoch \(claim.epoch)")
            statistics.joins += 1
            admission.newcomers.remove(at: index)
            acceptor.ledger.epoch = acceptor.session.highestEpoch
            acceptor.links.append(Endpoint.LinkIO(number: claim.link, connection: newcomer.connection))
            answer(claim) { acceptor.session.sendAttach($0, on: claim.link) }
        case .stale(let claim):
            trace.note("epoch \(verified.message.epoch) is stale on connection \(newcomer.connection)")
            answer(claim) { say($0, to: newcomer.connection) }
        case .gone(let gone): say(gone.encoded, to: newcomer.connection)
        }
        settle(.acceptor)
    }

    private func answer(_ claim: AttachClaim, _ send: ([UInt8]) -> Void) {
        guard let acceptor, let key = acceptor.key, !dies(acceptor) else { return }
        check(claim, by: acceptor)
        let frame = claim.unsealed
        let sealed = frame.sealed(with: key.proof(of: frame.transcript))
        overhear(sealed, from: .acceptor)
        send(sealed)
    }
}
