import CLinux
import Engine
import Keeper
import Kernel
import Logging
import Policy
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// Where openers arrive: listens, reads first frames, opens targets, and brings links to their sessions. On the main loop.
final class FrontDoor {
    /// Connections whose SYN has brought data and whose handshake is not over, so that nobody has shown yet to be at their address:
    /// somebody with a cookie can have so many of TLS's handshakes begun, and no more (RFC 7413, 5.1). At a round trip of 50 ms
    /// it is enough for 5,000 links a second to come back; those beyond take a round trip longer.
    private static let fastOpenQueue: Int32 = 256

    let loop: EventLoop
    let escrow: EscrowClient
    let options: GatewayOptions
    private(set) var limits: Limits
    let links: LinkAdmission
    let pool: LoopPool
    let ledger: SessionLedger
    let admission: Admission
    let logger: Logger
    var strangers: Strangers
    let notices: GroupedNotices
    let instance: UInt64
    /// Of names.
    let lookups: BlockingCalls
    private var acceptor: Acceptor?
    private var fronts: FrontDesk?
    private(set) lazy var offers = OfferBook(options.listen, escrow, on: loop) { [unowned self] in passing?.check() }
    /// nil for a gateway that stays.
    private var passing: PassingGateway?
    var clients = ClientAddresses()
    var registry = SessionRegistry()
    private var ticketTimer: TimerToken?
    /// How long the key of tickets is used: a ticket lives as long again at most.
    private static let ticketKeyLife = Interval.hours(12)

    init(
        _ options: GatewayOptions, instance: UInt64, links: LinkAdmission, listeners: [Listener],
        escrow: EscrowClient, pool: LoopPool, ledger: SessionLedger, logger: Logger
    ) throws(Errno) {
        self.options = options
        limits = options.limits
        self.instance = instance
        self.links = links
        self.escrow = escrow
        self.pool = pool
        self.ledger = ledger
        self.logger = logger
        strangers = Strangers(options.limits.strangers, log: StrangerLog(logger))
        loop = pool.main
        lookups = BlockingCalls(name: "usl-lookup", maximum: FrontDoor.maximumLookups, on: loop)
        admission = Admission(options.limits, pool: pool)
        notices = GroupedNotices(on: loop) { logger.notice("\($0)") }
        let others = Set(options.fronts.flatMap(\.listen))
        let (own, front) = listeners.divided { (try? $0.socket.localAddress()).map { !others.contains($0) } ?? false }
        if !options.isPlain {
            for listener in own { try? listener.socket.takeFastOpen(queue: FrontDoor.fastOpenQueue) }
        }
        acceptor = try Acceptor(
            own, on: loop, failed: { [logger] in logger.warning("\($0.acceptFailure)") },
            accepted: { [unowned self] in greet($0) })
        fronts = try FrontDesk(front, gateways: own.compactMap { try? $0.socket.localAddress() }, at: self)
        ticketTimer = loop.schedule(self, at: loop.now + FrontDoor.ticketKeyLife)
    }

    var liveSessions: Int { registry.liveCount }

    /// How long a new session may be without a link, as far as this end goes.
    var suspendLimit: Interval { Interval(options.suspend ?? limits.suspend) }

    /// From now on, these limits count, but for that on memory. Whoever is here stays.
    func use(_ limits: Limits) {
        self.limits = limits
        admission.limits = limits
        strangers.limits = limits.strangers
    }

    // MARK: - Accepting

    private func greet(_ socket: consuming TCPSocket) {
        guard let remote = try? socket.remoteAddress() else { return }
        do throws(Errno) {
            try LinkProfile.suited(to: remote).apply(to: socket)
            let greeting = try Greeting(
                socket, from: remote, at: self, bounds: limits.strangers, on: loop)
            strangers.greet(greeting, loop.now)?.cut()
            // Whoever comes back to a session has said so by now, and need not fear those who come behind.
            greeting.read()
        } catch {
            turnAway(remote, .system, "turned away: \(error)")
        }
    }

    func turnAway(_ remote: SocketAddress, _ why: TurnedAway, _ text: String) {
        strangers.turnAway(remote, why, text, loop.now)
    }

    /// Counts a connection as a stranger's again, whose session has come to nothing.
    func keep(_ greeting: Greeting) { strangers.keep(greeting, loop.now)?.cut() }

    func forget(_ greeting: Greeting) { strangers.forget(greeting) }

    // MARK: - First frames

    func received(_ first: Greeting.FirstFrame, from greeting: Greeting, unread: [UInt8]) {
        switch first {
        case .open(let open, let frame): opened(open, frame, greeting)
        case .attach(let claim): attach(claim, greeting, unread)
        case .lookup(let message): lookUp(message, for: greeting)
        case .ask(let ask): greeting.dismiss(saying: AnswerMessage(service(for: ask, of: greeting.remote)).encoded)
        }
    }

    func greetingFailed(_ greeting: Greeting, _ failure: Greeting.Failure) {
        let remote = greeting.remote
        if let session = greeting.session, case .pending(let pending) = registry[session] {
            if pending.first === greeting { pending.first = nil }
            pending.others.removeAll { $0 === greeting }
        }
        switch failure {
        case .closed: break
        case .slow:
            let limit = DurationText.text(limits.strangers.handshakeTime)
            turnAway(remote, .handshakeTime, "said nothing that counts within \(limit); closed")
        case .long:
            let limit = SizeText.text(limits.strangers.handshakeBytes)
            turnAway(remote, .handshakeBytes, "said nothing that counts in \(limit); closed")
        case .inadmissible(.plain): turnAway(remote, .plain, "speaks plain links, and this gateway TLS; closed")
        case .inadmissible(.anonymous):
            turnAway(remote, .unauthorized, "speaks plain links, which show no key, and --authorized wants one; closed")
        case .inadmissible(.tls): turnAway(remote, .tls, "speaks TLS, and this gateway plain; closed")
        case .insecure(.keyRefused(let fingerprint)):
            turnAway(remote, .unauthorized, "its key, \(fingerprint), is not in the file of --authorized; closed")
        case .insecure(let failure): turnAway(remote, .tls, "\(failure); closed")
        case .notUSL: turnAway(remote, .notUSL, "does not speak USL; closed")
        case .otherVersion:
            turnAway(remote, .otherVersion, "speaks another version of USL, this gateway version 1; closed")
        case .malformed(let error): turnAway(remote, .malformed, "broke the protocol (\(error)); closed")
        }
        switch failure {
        case .malformed:
            greeting.dismiss(saying: RefusedMessage(code: .malformed, text: "not understood").encoded)
        // The preface tells the peer which version is spoken here, and that it is plain.
        case .otherVersion, .inadmissible(.tls): greeting.dismiss(saying: Wire.preface)
        case .inadmissible(.plain):
            dismiss(greeting, saying: "this gateway speaks TLS; give --plain at both ends or at neither")
        case .inadmissible(.anonymous):
            dismiss(greeting, saying: "this gateway serves keys that it knows, and a plain link shows none")
        case .insecure: greeting.dismiss(saying: [])
        case .closed, .slow, .long, .notUSL: greeting.leaveAndForget()
        }
    }

    /// In plain words, to a peer that speaks plain links.
    private func dismiss(_ greeting: Greeting, saying text: String) {
        greeting.dismiss(saying: Wire.preface + RefusedMessage(code: .failed, text: text).encoded)
    }

    private func attach(_ claim: Unverified<AttachClaim>, _ greeting: Greeting, _ unread: [UInt8]) {
        switch registry[claim.session] {
        case .live(let session):
            guard let link = greeting.handOver(unread: unread) else { return }
            let (handoff, id, place) = (Handoff(link), claim.session, session.place)
            place.mailbox.post { loop in
                guard let link = handoff.take() else { return }
                place.sessions.on(loop)[id]?.join(claim, over: link)
            }
        case .over(let epitaph): greeting.dismiss(saying: epitaph.encoded)
        case .pending, nil:
            let gone = GoneMessage(reason: .unknown, instance: instance, positions: nil)
            greeting.dismiss(saying: gone.encoded)
        }
    }

    func sessionEnded(_ id: SessionID, _ epitaph: GoneMessage) {
        admission.leave()
        registry.bury(id, epitaph)
        clients.forget(id)
        passing?.check()
    }

    // MARK: - Offers

    /// Whether nothing would be lost if it ended.
    var isIdle: Bool { offers.isEmpty && liveSessions == 0 }

    /// From now on, it is there for offers alone, and ends with the last.
    func pass(_ end: @escaping () -> Void) {
        passing = PassingGateway(self, on: loop, end: end)
        passing?.check()
    }
}

extension FrontDoor: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        links.rotateTicketKey()
        ticketTimer = loop.schedule(self, at: loop.now + FrontDoor.ticketKeyLife)
    }
}

extension [Listener] {
    /// Those for which something holds, and the others.
    fileprivate func divided(_ holds: (Listener) -> Bool) -> ([Listener], [Listener]) {
        (filter(holds), filter { !holds($0) })
    }
}
