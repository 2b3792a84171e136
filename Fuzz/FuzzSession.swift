/// A sequence of operations on one session. The driver and the application keep the rules of the interface; the peer
/// has the key and keeps none.
func fuzzSession(_ input: [UInt8]) {
    var run = SessionRun(FuzzInput(input))
    run.run()
}

private struct SessionRun {
    private var input: FuzzInput
    private var session: Session
    private var now = Instant(nanoseconds: 1_000_000_000)
    /// Received bytes that the leg has not taken.
    private var held = 0
    private var hasEnded = false

    init(_ input: FuzzInput) {
        var input = input
        let configuration = SessionConfiguration(
            window: 65_536, maximumWindow: 1 << 20, suspendLimit: .seconds(60),
            mode: LinkMode.allCases[input.below(3)], paths: [PathID(0), PathID(1)], seed: 1)
        if input.byte() & 1 == 0 {
            session = .opener(SessionRun.open, configuration, now)
        } else {
            session = .acceptor(
                SessionRun.open.session, instance: 7, opened: [], link: Self.decoder, configuration, now)
        }
        self.input = input
    }

    private static let open = OpenMessage(
        session: SessionID(high: 1, low: 2), keyShare: [UInt8](repeating: 1, count: 32),
        destination: Destination(address: [127, 0, 0, 1], port: 1)!, suspendLimit: 60)

    /// One that has read the preface.
    private static var decoder: FrameDecoder {
        var decoder = FrameDecoder()
        var cursor = 0
        let preface = Wire.preface
        _ = try? decoder.next(preface.span.bytes, &cursor)
        return decoder
    }

    mutating func run() {
        while !input.isEmpty {
            step()
            takeEffects()
            check()
        }
    }

    private mutating func step() {
        switch input.below(16) {
        case 0: receive(input.bytes(input.below(200)))
        case 1, 2, 3: receive(frame())
        case 4:
            if session.takesApplicationBytes { session.applicationWrote(input.below(256) * input.below(256)) }
        case 5: session.applicationFinished()
        case 6: session.applicationReset(code: input.byte(), now)
        case 7:
            let count = min(held, input.below(256) * input.below(256))
            guard session.wantsDelivery, count > 0 else { break }
            held -= count
            session.applicationTook(count, now)
        case 8: if session.finIsDue, held == 0 { session.applicationTookFin(now) }
        case 9:
            now = now + Interval.milliseconds(UInt64(input.byte()) << UInt64(input.below(10)))
            session.tick(now)
        case 10: if let number = link() { session.linkLost(number, .closed, now) }
        case 11: if let number = link() { session.linkConnected(number, roundTrip: nil, now) }
        case 12, 13: pull()
        case 14: join()
        default:
            switch input.below(8) {
            case 0: session.drop(saying: .ending, now)
            case 1: session.networkChanged(now)
            case 2: if let number = link() { session.suspect(number, now) }
            case 3: session.addPath(PathID(input.byte() % 3), now)
            case 4: session.removePath(PathID(input.byte() % 3), now)
            case 5: if let number = link() { session.linkExamined(number, vitals(), now) }
            case 6: session.checkLinks(now)
            default: pull()
            }
        }
    }

    private mutating func link() -> LinkNumber? {
        session.links.isEmpty ? nil : session.links[input.below(session.links.count)].number
    }

    private mutating func vitals() -> LinkVitals {
        LinkVitals(
            acknowledged: UInt64(input.byte()), hasUnacknowledged: input.below(2) == 0,
            retransmissions: UInt32(input.byte()), roundTrip: .milliseconds(UInt64(input.byte())))
    }

    /// A position that the session may be interested in, or any.
    private mutating func position() -> Position {
        switch input.below(8) {
        case 0: session.receivedPosition
        case 1: session.delivered
        case 2: session.taken
        case 3: session.acknowledged
        case 4: session.receivedPosition &+ UInt64(input.byte())
        case 5: session.acknowledged &+ UInt64(input.byte())
        case 6: UInt64(input.byte()) << 8
        default: input.word()
        }
    }

    private mutating func frame() -> [UInt8] {
        let types: [FrameType] = [
            .data, .data, .data, .ack, .fin, .abort, .ping, .pong, .leave, .gone, .attach, .attached, .opened, .refused,
            .lookup, .found,
        ]
        let type = types[input.below(types.count)]
        let payload: [UInt8]
        switch type {
        case .data: payload = [UInt8](repeating: 0, count: input.below(256) * 8)
        case .gone:
            let reason = GoneMessage.Reason(rawValue: UInt16(input.below(10))) ?? .unknown
            let positions = GoneMessage.FinalPositions(sent: position(), delivered: position())
            let message = GoneMessage(
                reason: reason, instance: session.instance &+ UInt64(input.below(2)), positions: positions)
            return message.encoded
        case .attach, .attached:
            guard let proof = Proof(bytes: [UInt8](repeating: 0, count: 32)) else { return [] }
            return claim(by: type == .attach ? .opener : .acceptor).unsealed.sealed(with: proof)
        case .opened:
            guard let proof = Proof(bytes: [UInt8](repeating: 0, count: 32)) else { return [] }
            return OpenedMessage(keyShare: [UInt8](repeating: 2, count: 32), instance: 7, suspendLimit: 1)
                .unsealed(answering: []).sealed(with: proof)
        case .refused: return RefusedMessage(code: .failed, text: "").encoded
        case .open, .lookup, .found, .ask, .answer, .ack, .fin, .abort, .ping, .pong, .leave: payload = []
        }
        let header = FrameHeader(
            type: type, flags: input.byte(), window: UInt16(input.byte()) << UInt16(input.below(9)),
            length: UInt32(payload.count), offset: position(), acknowledged: position())
        return header.encodedBytes + payload
    }

    private mutating func claim(by role: Role) -> AttachClaim {
        let epoch = input.below(4) == 0 ? input.word() : session.highestEpoch &+ UInt64(input.below(3))
        return AttachClaim(
            role: role, session: session.id, link: LinkNumber(truncatingIfNeeded: input.below(40)), epoch: epoch,
            received: position(), acknowledged: position(), window: UInt16(input.byte()), isStale: input.below(4) == 0,
            isRestarted: input.below(4) == 0)
    }

    private mutating func receive(_ bytes: [UInt8]) {
        guard var number = link() else { return }
        if session.role == .opener, input.below(4) == 0 {
            var cursor = 0
            let preface = Wire.preface
            _ = session.receive(on: number, preface.span.bytes, &cursor, now)
        }
        var cursor = 0
        while true {
            switch session.receive(on: number, bytes.span.bytes, &cursor, now) {
            case .needMore: return
            case .data(let range):
                require(!range.isEmpty && range.upperBound <= bytes.count)
                held = Int(session.receivedBytes - session.deliveredBytes)
            case .early(let position, let range):
                require(!range.isEmpty && range.upperBound <= bytes.count && position > session.receivedPosition)
            case .opened(let answer): session.opened(Verified(message: answer.message), on: number, now)
            case .attached(let answer): session.attached(Verified(message: answer.message), on: number, now)
            case .attach(let attach):
                if case .joined(let claim) = session.rejoin(Verified(message: attach.message), on: number, now) {
                    number = claim.link
                    session.sendAttach([0], on: number)
                }
            case .linkFailed(let failure):
                session.linkLost(number, failure, now)
                return
            }
        }
    }

    private mutating func join() {
        guard session.role == .acceptor else { return }
        let claim = claim(by: .opener)
        switch session.join(Verified(message: claim), Self.decoder, now) {
        case .joined(let answer):
            require(session.knows(answer.link) && answer.received == session.receivedPosition)
            session.sendAttach([0], on: answer.link)
        case .stale(let answer): require(answer.isStale && answer.epoch == session.highestEpoch)
        case .gone: break
        }
    }

    private mutating func pull() {
        guard let number = link() else { return }
        for _ in 0..<input.below(32) {
            guard let frame = session.nextFrame(on: number, now, maximumData: 1 + input.below(256) * 256) else {
                return
            }
            guard case .data(let header, let range) = frame else { continue }
            require(range.count == header.length && range.lowerBound == header.offset && !range.isEmpty)
            require(range.lowerBound >= session.acknowledged && range.upperBound <= session.taken)
        }
    }

    private mutating func takeEffects() {
        while let effect = session.nextEffect() {
            switch effect {
            case .attach(let number):
                if session.attachClaim(on: number) != nil { session.sendAttach([0], on: number) }
            case .ended:
                require(!hasEnded, "a session ends once")
                hasEnded = true
            case .dial, .resetLeg, .examine, .suspected:
                require(!hasEnded, "\(effect) of a session that is over")
            case .close: break
            }
        }
    }

    private func check() {
        require(session.acknowledged <= session.taken && session.delivered <= session.receivedPosition)
        if session.role == .acceptor { require(session.links.count <= Session.maximumLinks) }
        require(Set(session.links.map { $0.number }).count == session.links.count)
        require(session.links.allSatisfy { $0.handshake.count <= 4 }, "answers pile up")
        if session.role == .opener, session.mode == .failover {
            require(session.links.filter { $0.state == .current }.count <= 1)
        }
        require(
            session.sender.resend.ranges.allSatisfy {
                $0.lowerBound >= session.sender.acknowledged && $0.upperBound <= session.sender.next
            })
        require(session.isOver == hasEnded)
        if hasEnded { require(session.links.allSatisfy { $0.state == .leaving }) }
        if session.role == .opener, !session.isOver {
            let isTrying = session.links.contains { $0.state != .leaving } || session.timers[.dial] != nil
            require(isTrying || session.paths.isEmpty, "nobody dials")
        }
    }
}
