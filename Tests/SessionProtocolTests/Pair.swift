import Testing

@testable import SessionProtocol

/// Two ends of one session, their applications and the links between them, in virtual time. Links carry whole frames
/// at once; tests break them, hold them up and look at what has passed.
struct Pair {
    struct End {
        var session: Session
        var written: [UInt8] = []
        var delivered: [UInt8] = []
        /// Received, but not taken by the leg while the application does not read.
        var held: [UInt8] = []
        /// What came early, by position.
        var early: [Position: UInt8] = [:]
        var reads = true
        var sawEOF = false
        var isReset = false
        var ending: Ending?
    }

    /// One connection; `acceptor` is the number by which the acceptor knows it.
    struct Wire {
        let opener: LinkNumber
        var acceptor: LinkNumber?
        var admission: FrameDecoder? = FrameDecoder()
        var hasPreface = false
        /// What is sent vanishes, and nobody notices.
        var isSilent = false
        /// The opener's path.
        var path = PathID(0)
    }

    var now = Instant(nanoseconds: 1_000_000_000)
    var opener: End
    var acceptor: End?
    var wires: [Wire] = []
    /// Dials come to nothing while false.
    var hasPath = true
    /// Dials on these are never answered.
    var deadPaths: Set<PathID> = []
    /// Every frame header that has left, in order.
    var sent: [(by: Role, on: LinkNumber, header: FrameHeader)] = []
    /// Every ATTACH and ATTACHED that was sealed.
    var sealed: [[UInt8]] = []
    let open: OpenMessage
    let openedFrame: [UInt8]

    static let instance: UInt64 = 0x1d
    static let id = SessionID(high: 1, low: 2)

    /// An open session, unless `opens` is false.
    init(
        window: UInt64 = 65_536, maximumWindow: UInt64 = 65_536, suspendLimit: Interval = .hours(1),
        mode: LinkMode = .failover, paths: [PathID] = [PathID(0)], opens: Bool = true
    ) {
        let configuration = SessionConfiguration(
            window: window, maximumWindow: maximumWindow, suspendLimit: suspendLimit, mode: mode, paths: paths, seed: 1)
        open = Samples.open
        let unsealed = OpenedMessage(keyShare: Samples.share(2), instance: Pair.instance, suspendLimit: 3600)
            .unsealed(answering: open.encoded)
        openedFrame = unsealed.sealed(with: Samples.proof(of: unsealed.transcript))
        opener = End(session: .opener(open, configuration, now))
        self.configuration = configuration
        if opens { exchange() }
    }

    private let configuration: SessionConfiguration

    subscript(role: Role) -> End {
        get { role == .opener ? opener : acceptor! }
        set {
            if role == .opener { opener = newValue } else { acceptor = newValue }
        }
    }

    // MARK: Applications

    mutating func write(_ role: Role, _ count: Int) {
        let start = self[role].written.count
        self[role].written += (start..<start + count).map { byte(at: $0) }
        self[role].session.applicationWrote(count)
        exchange()
    }

    func byte(at position: Int) -> UInt8 { UInt8(truncatingIfNeeded: position &* 31 &+ position >> 8) }

    mutating func finish(_ role: Role) {
        self[role].session.applicationFinished()
        exchange()
    }

    mutating func abort(_ role: Role) {
        self[role].session.applicationReset(code: 0, now)
        exchange()
    }

    mutating func read(_ role: Role) {
        self[role].reads = true
        exchange()
    }

    // MARK: Network

    /// What is sent from now on is lost; the ends do not know.
    mutating func silence() { for index in wires.indices { wires[index].isSilent = true } }

    /// A path falls silent: what is sent on it, and dials, vanish.
    mutating func silence(_ path: PathID) {
        deadPaths.insert(path)
        for index in wires.indices where wires[index].path == path { wires[index].isSilent = true }
    }

    /// What was held up on a path is lost, but what follows arrives.
    mutating func heal(_ path: PathID) {
        deadPaths.remove(path)
        for index in wires.indices where wires[index].path == path { wires[index].isSilent = false }
    }

    /// Both ends learn that their links are gone.
    mutating func cut() {
        silence()
        for wire in wires { opener.session.linkLost(wire.opener, .closed, now) }
        for wire in wires { if let number = wire.acceptor { acceptor?.session.linkLost(number, .closed, now) } }
        wires.removeAll()
        exchange()
    }

    /// The same, and the first dials after it.
    mutating func reconnect() {
        cut()
        wait(.milliseconds(150))
    }

    /// Only the opener learns.
    mutating func cutAtOpener() {
        silence()
        for wire in wires { opener.session.linkLost(wire.opener, .closed, now) }
        exchange()
    }

    mutating func wait(_ interval: Interval) {
        let end = now + interval
        while let due = [opener.session.deadline, acceptor?.session.deadline].compactMap({ $0 }).min(), due <= end {
            now = max(due, now)
            opener.session.tick(now)
            acceptor?.session.tick(now)
            exchange()
        }
        now = end
    }

    /// Time for the acceptor alone.
    mutating func waitWithoutOpener(_ interval: Interval) {
        let end = now + interval
        while let due = acceptor?.session.deadline, due <= end {
            now = max(due, now)
            acceptor?.session.tick(now)
            exchange()
        }
        now = end
    }

    // MARK: Drivers

    /// Moves frames until nothing moves.
    mutating func exchange() {
        var moved = true
        while moved {
            moved = effects(.opener)
            if acceptor != nil { moved = effects(.acceptor) || moved }
            for index in wires.indices.reversed() where index < wires.count {
                moved = carry(from: .opener, index) || moved
                if index < wires.count { moved = carry(from: .acceptor, index) || moved }
            }
            moved = take(.opener) || moved
            if acceptor != nil { moved = take(.acceptor) || moved }
        }
    }

    private mutating func effects(_ role: Role) -> Bool {
        var any = false
        while let effect = self[role].session.nextEffect() {
            any = true
            switch effect {
            case .examine(let number):
                // What an idle transport says: everything was acknowledged, and nothing new.
                let vitals = LinkVitals(
                    acknowledged: 0, hasUnacknowledged: false, retransmissions: 0, roundTrip: nil)
                self[role].session.linkExamined(number, vitals, now)
            case .suspected: break
            case .dial(let number, let path):
                if deadPaths.contains(path) { continue }
                guard hasPath else {
                    opener.session.linkLost(number, .socket(111), now)
                    continue
                }
                wires.append(Wire(opener: number, path: path))
                opener.session.linkConnected(number, roundTrip: nil, now)
            case .attach(let number):
                guard let claim = self[role].session.attachClaim(on: number) else { continue }
                self[role].session.sendAttach(seal(claim), on: number)
            case .close(let number):
                let index = wires.firstIndex { (role == .opener ? $0.opener : $0.acceptor) == number }
                guard let index else { continue }
                let wire = wires.remove(at: index)
                guard !wire.isSilent else { continue }
                if role == .opener {
                    if let number = wire.acceptor { acceptor?.session.linkLost(number, .closed, now) }
                } else {
                    opener.session.linkLost(wire.opener, .closed, now)
                }
            case .resetLeg: self[role].isReset = true
            case .ended(let ending): self[role].ending = ending
            }
        }
        return any
    }

    mutating func seal(_ claim: AttachClaim) -> [UInt8] {
        let frame = claim.unsealed.sealed(with: Samples.proof(of: claim.unsealed.transcript))
        sealed.append(frame)
        return frame
    }

    private mutating func carry(from role: Role, _ index: Int) -> Bool {
        let number = role == .opener ? wires[index].opener : wires[index].acceptor
        guard let number else { return false }
        var any = false
        while index < wires.count,
            let frame = self[role].session.nextFrame(on: number, now, maximumData: SessionProtocol.Wire.maximumData)
        {
            any = true
            var bytes: [UInt8] = []
            switch frame {
            case .handshake(let frame): bytes = frame
            case .header(let header):
                bytes = header.encodedBytes
                sent.append((role, number, header))
            case .data(let header, let range):
                bytes = header.encodedBytes + self[role].written[Int(range.lowerBound)..<Int(range.upperBound)]
                sent.append((role, number, header))
            case .end: continue
            }
            if !wires[index].isSilent { receive(bytes, at: role == .opener ? .acceptor : .opener, wires[index].opener) }
        }
        return any
    }

    /// Hands bytes to an end, as if they had come over the wire of this opener's number.
    mutating func receive(_ bytes: [UInt8], at role: Role, _ wire: LinkNumber) {
        var cursor = 0
        while let index = wires.firstIndex(where: { $0.opener == wire }) {
            if role == .acceptor, wires[index].admission != nil {
                guard admit(bytes, &cursor, index) else { return }
                continue
            }
            guard let number = role == .opener ? wires[index].opener : wires[index].acceptor else { return }
            switch self[role].session.receive(on: number, bytes.span.bytes, &cursor, now) {
            case .needMore: return
            case .data(let range):
                self[role].held += bytes[range]
                takeEarly(role)
            case .early(let position, let range):
                for (offset, byte) in bytes[range].enumerated() { self[role].early[position + UInt64(offset)] = byte }
            case .opened(let answer):
                guard let verified = answer.verified(by: Samples.proof(of: answer.transcript)) else {
                    opener.session.linkLost(number, .unproven, now)
                    return
                }
                opener.session.opened(verified, on: number, now)
            case .attached(let answer):
                guard let verified = answer.verified(by: Samples.proof(of: answer.transcript)) else {
                    opener.session.linkLost(number, .unproven, now)
                    return
                }
                opener.session.attached(verified, on: number, now)
            case .attach(let claim):
                let verified = claim.verified(by: Samples.proof(of: claim.transcript))!
                if case .joined(let answer) = acceptor!.session.rejoin(verified, on: number, now) {
                    wires[index].acceptor = answer.link
                    let frame = seal(answer)
                    acceptor!.session.sendAttach(frame, on: answer.link)
                }
            case .linkFailed(let failure):
                self[role].session.linkLost(number, failure, now)
                return
            }
        }
    }

    private mutating func takeEarly(_ role: Role) {
        var position = self[role].session.delivered + UInt64(self[role].held.count)
        while position < self[role].session.receivedBytes, let byte = self[role].early.removeValue(forKey: position) {
            self[role].held.append(byte)
            position += 1
        }
    }

    /// A link that joins the acceptor without an opener behind it.
    mutating func joinByHand(_ number: LinkNumber) throws {
        let frame = Samples.sealed(Samples.claim(.opener, link: number, epoch: Epoch(number)))
        _ = join(try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder)
    }

    /// Hands frames without data to the acceptor, on a link that it knows by this number.
    mutating func hand(_ bytes: [UInt8], to number: LinkNumber) {
        var cursor = 0
        _ = acceptor?.session.receive(on: number, bytes.span.bytes, &cursor, now)
    }

    /// A gateway before there is a proof; false when it needs more.
    private mutating func admit(_ bytes: [UInt8], _ cursor: inout Int, _ index: Int) -> Bool {
        var decoder = wires[index].admission!
        while case .some(let event) = try? decoder.next(bytes.span.bytes, &cursor) {
            guard case .frame(let header) = event else {
                if event == .preface { continue }
                break
            }
            let wire = wires[index].opener
            switch header.type {
            case .open where acceptor == nil:
                wires[index].admission = nil
                wires[index].acceptor = 0
                acceptor = End(
                    session: .acceptor(
                        Pair.id, instance: Pair.instance, opened: openedFrame, link: decoder, configuration, now))
                answer([], wire)
                return true
            case .open:
                wires[index].admission = decoder
                answer(openedFrame, wire)
                return true
            case .attach:
                let claim = try! AttachClaim.decode(header, decoder.payload)
                let joining = join(claim, decoder)
                if case .joined(let joined) = joining {
                    wires[index].admission = nil
                    wires[index].acceptor = joined.link
                    let frame = seal(joined)
                    acceptor!.session.sendAttach(frame, on: joined.link)
                    answer([], wire)
                    return true
                }
                let words =
                    switch joining {
                    case .stale(let stale): seal(stale)
                    case .gone(let gone): gone.encoded
                    case .joined, nil: [UInt8]()
                    }
                answer(words, wire)
                if let index = wires.firstIndex(where: { $0.opener == wire }) {
                    wires.remove(at: index)
                    opener.session.linkLost(wire, .closed, now)
                }
                return false
            default: return false
            }
        }
        wires[index].admission = decoder
        return false
    }

    /// The gateway's words, behind the preface the first time.
    private mutating func answer(_ frame: [UInt8], _ wire: LinkNumber) {
        guard let index = wires.firstIndex(where: { $0.opener == wire }) else { return }
        let preface = wires[index].hasPreface ? [] : SessionProtocol.Wire.preface
        wires[index].hasPreface = true
        receive(preface + frame, at: .opener, wire)
    }

    /// What the gateway makes of an ATTACH; nil when its proof is wrong.
    mutating func join(_ claim: Unverified<AttachClaim>, _ decoder: FrameDecoder) -> Session.Joining? {
        if let epitaph = acceptor!.session.epitaph { return .gone(epitaph) }
        guard let verified = claim.verified(by: Samples.proof(of: claim.transcript)) else { return nil }
        return acceptor!.session.join(verified, decoder, now)
    }

    private mutating func take(_ role: Role) -> Bool {
        var end = self[role]
        var any = false
        if end.reads, end.session.wantsDelivery, !end.held.isEmpty {
            end.delivered += end.held
            end.session.applicationTook(end.held.count, now)
            end.held = []
            any = true
        }
        if end.session.finIsDue, end.held.isEmpty {
            end.sawEOF = true
            end.session.applicationTookFin(now)
            any = true
        }
        self[role] = end
        return any
    }
}
