import CLinux
import Engine
import Keeper
import Kernel
import Logging
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// Where openers arrive: listens, reads first frames, opens targets, and brings links to their sessions. On the main loop.
final class FrontDoor {
    /// Connections that have said nothing provable yet: bounds what strangers can make this process hold.
    static let maximumGreetings = 4096
    /// The same, from one address.
    static let maximumGreetingsPerAddress = 256
    /// Connections accepted in a row, and the pause behind them: a flood of them must not keep the loop.
    private static let acceptsPerTurn = 256
    private static let breath = Interval.milliseconds(1)
    /// How soon to try again to accept when descriptors have run out: no event tells when there are some.
    private static let acceptRetry = Interval.milliseconds(100)

    let loop: EventLoop
    let escrow: EscrowClient
    private let options: GatewayOptions
    let pool: LoopPool
    private let ledger: SessionLedger
    let admission: Admission
    private let logger: Logger
    private var strangers: StrangerLog
    let notices: GroupedNotices
    let instance: UInt64
    private var listeners: [Listener] = []
    private var greetings: [ObjectIdentifier: Greeting] = [:]
    private var greetingsByHost: [SocketAddress.Host: Int] = [:]
    var registry = SessionRegistry()
    private var retryTimer: TimerToken?
    private var isOutOfDescriptors = false

    init(
        _ options: GatewayOptions, instance: UInt64, listeners: consuming [Listener], escrow: EscrowClient,
        pool: LoopPool, ledger: SessionLedger, logger: Logger
    ) throws(Errno) {
        self.options = options
        self.instance = instance
        self.escrow = escrow
        self.pool = pool
        self.ledger = ledger
        self.logger = logger
        strangers = StrangerLog(logger)
        loop = pool.main
        admission = Admission(options.limits, pool: pool)
        notices = GroupedNotices(on: loop) { logger.notice("\($0)") }
        self.listeners = listeners
        for (index, listener) in self.listeners.enumerated() {
            _ = try loop.register(listener.socket.number, self, tag: UInt32(index))
        }
    }

    var liveSessions: Int { registry.liveCount }

    // MARK: - Accepting

    private func accept(from listener: Listener) {
        do throws(Errno) {
            for _ in 0..<FrontDoor.acceptsPerTurn {
                guard let socket = try listener.socket.accept() else {
                    isOutOfDescriptors = false
                    return
                }
                greet(socket)
            }
            tryAgain(after: FrontDoor.breath)
        } catch {
            if !isOutOfDescriptors {
                logger.warning("cannot accept connections: \(error); raise the limit on open files (ulimit -n)")
            }
            isOutOfDescriptors = true
            tryAgain(after: FrontDoor.acceptRetry)
        }
    }

    private func tryAgain(after pause: Interval) {
        if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + pause) }
    }

    private func greet(_ socket: consuming TCPSocket) {
        guard let remote = try? socket.remoteAddress() else { return }
        guard remote.isLoopback || options.allowsPlain else {
            // A plain link must be wanted at both ends: whoever starts the gateway has to say so.
            tell("turned away: links that leave this host are plain; start the gateway with --plain", of: remote)
            return
        }
        guard greetings.count < FrontDoor.maximumGreetings,
            greetingsByHost[remote.host, default: 0] < FrontDoor.maximumGreetingsPerAddress
        else {
            tell("turned away: too many connections that have not opened or joined a session", of: remote)
            return
        }
        do throws(Errno) {
            try LinkProfile.suited(to: remote).apply(to: socket)
            let greeting = try Greeting(socket, from: remote, at: self, on: loop)
            greetings[ObjectIdentifier(greeting)] = greeting
            greetingsByHost[remote.host, default: 0] += 1
        } catch {
            tell("turned away: \(error)", of: remote)
        }
    }

    private func tell(_ text: String, of remote: SocketAddress) { strangers.note(text, from: remote, loop.now) }

    func forget(_ greeting: Greeting) {
        guard greetings.removeValue(forKey: ObjectIdentifier(greeting)) != nil else { return }
        let count = greetingsByHost[greeting.remote.host, default: 1] - 1
        greetingsByHost[greeting.remote.host] = count > 0 ? count : nil
    }

    // MARK: - First frames

    func received(_ first: Greeting.FirstFrame, from greeting: Greeting, unread: [UInt8]) {
        switch first {
        case .open(let open, let frame): opened(open, frame, greeting)
        case .attach(let claim): attach(claim, greeting, unread)
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
        case .slow: tell("said nothing that counts within \(Greeting.limit.seconds) s; closed", of: remote)
        case .tls: tell("speaks TLS, and this gateway plain; closed", of: remote)
        case .notUSL: tell("does not speak USL; closed", of: remote)
        case .otherVersion: tell("speaks another version of USL, this gateway version 1; closed", of: remote)
        case .malformed(let error): tell("broke the protocol (\(error)); closed", of: remote)
        }
        if case .malformed = failure {
            greeting.dismiss(saying: RefusedMessage(code: .malformed, text: "not understood").encoded)
        } else if case .otherVersion = failure {
            // The preface tells the peer which version is spoken here.
            greeting.dismiss(saying: Wire.preface)
        } else {
            greeting.leaveAndForget()
        }
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

    // MARK: - Opening sessions

    private func opened(_ open: OpenMessage, _ frame: [UInt8], _ greeting: Greeting) {
        greeting.session = open.session
        switch registry[open.session] {
        case .pending(let pending):
            guard pending.open.keyShare == open.keyShare else { return refuse(greeting, .identifierInUse) }
            pending.others.append(greeting)
        case .live(let session):
            guard session.keyShare == open.keyShare else { return refuse(greeting, .identifierInUse) }
            answer(greeting, open.session, frame, session)
        case .over(let epitaph): greeting.dismiss(saying: epitaph.encoded)
        case nil: openTarget(PendingSession(open, frame: frame, first: greeting))
        }
    }

    private func refuse(_ greeting: Greeting, _ code: RefusedMessage.Code, _ text: String = "") {
        greeting.dismiss(saying: RefusedMessage(code: code, text: text).encoded)
    }

    private func openTarget(_ pending: PendingSession) {
        let asked = pending.open.destination.socketAddress
        guard let target = options.allow.address(for: asked, ownAddresses: AllowList.hostAddresses) else {
            tell("\(asked) refused: no --allow has it", of: pending.remote)
            if let first = pending.first {
                refuse(first, .notAllowed, "the gateway does not allow \(asked); its --allow must have it")
            }
            return
        }
        registry.add(pending)
        admission.admit { [self] shortage in
            guard let shortage else { return connect(pending, target) }
            tell("\(asked) refused: \(shortage.explanation), and no session is suspended", of: pending.remote)
            registry.forget(pending.open.session)
            for greeting in pending.all { refuse(greeting, .exhausted, "at the gateway, \(shortage.explanation)") }
        }
    }

    private func connect(_ pending: PendingSession, _ target: SocketAddress) {
        TargetConnection.open(to: target, on: loop) { descriptor, then in
            escrow.hold(.leg, descriptor, then: then)
        } done: { [self] result in
            switch consume result {
            case .connected(let socket, let key): begin(pending, socket, target, key)
            case .failed(let error, let key):
                if let key { escrow.release(key) }
                fail(pending, error, target)
            }
        }
    }

    private func fail(_ pending: PendingSession, _ error: Errno, _ target: SocketAddress) {
        admission.leave()
        registry.forget(pending.open.session)
        tell("\(target): \(error)", of: pending.remote)
        for greeting in pending.all { refuse(greeting, RefusedMessage.Code(error), "\(target): \(error)") }
    }

    /// The target has accepted: the session begins on a loop of its own.
    private func begin(
        _ pending: PendingSession, _ socket: consuming TCPSocket, _ target: SocketAddress, _ escrowKey: EscrowKey
    ) {
        do {
            let agreement = try KeyAgreement.generate()
            let id = pending.open.session
            let key = try agreement.resumeKey(as: .acceptor, of: id, with: pending.open.keyShare)
            let suspendLimit = min(Interval(options.limits.suspend), .seconds(UInt64(pending.open.suspendLimit)))
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
            registry.forget(pending.open.session)
            for greeting in pending.all { refuse(greeting, .failed, "the gateway failed") }
        }
    }

    func sessionEnded(_ id: SessionID, _ epitaph: GoneMessage) {
        admission.leave()
        registry.bury(id, epitaph)
    }
}

extension FrontDoor: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { accept(from: listeners[Int(tag)]) }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        for listener in listeners { accept(from: listener) }
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
