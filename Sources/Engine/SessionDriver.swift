import CLinux
public import Kernel
public import SessionProtocol
import SystemPackage
public import Transport

/// Drives one session on one event loop: its leg, its links, its rings and its timer.
///
/// Every event ends in ``settle()``, which does what the session asks for until it asks for nothing.
public final class SessionDriver {
    /// The tag of the leg among the descriptors of this handler; links have numbers above it.
    static let legTag: UInt32 = 0
    /// Most that one session moves in one turn of the loop before the others have theirs.
    static let turnLimit = 512 << 10
    /// How long a closing link or leg may take over its last bytes.
    static let lingerLimit = Interval.seconds(10)

    public let loop: EventLoop
    public let destination: SocketAddress
    public internal(set) var session: Session
    weak var owner: (any SessionOwner)?
    /// Keeps the driver alive while it has descriptors registered or timers set.
    var selfWhileActive: SessionDriver?

    /// Opener: the ways to its acceptor.
    var paths: LinkPaths?
    /// Opener: how links to other hosts are made safe; nil if they are plain, as they are to an acceptor, which dials none.
    var tls: TLSDialling?
    /// Those of them that the session knows.
    var usablePaths: [PathID]
    private var agreement: KeyAgreement?
    var key: ResumeKey?

    var leg: LegConnection?
    /// An application can still come, or has come and not gone.
    var expectsLeg = true
    var legReset = LegReset.none
    /// Application → peer: the replay buffer.
    var outbound: Ring
    var growth: ReplayGrowth
    /// Peer → application: what the leg did not take at once.
    var held: Ring
    private var promise: WindowPromise
    /// The arena had no slot for what the application writes; nobody tells when it has one again.
    var isStarved = false
    /// Where the replay buffer ended when the timer last fired.
    private var endAtLastTimer: Position = 0
    var links: [LinkConnection] = []
    /// The other end of the last link.
    var lastPeer: SocketAddress?
    /// Proven by the last link that has shown one.
    var peerKey: Fingerprint?
    private var lastTag = SessionDriver.legTag

    private var timer: (token: TimerToken, at: Instant)?
    private var lingerDeadline: Instant?
    private var isSettling = false
    private(set) var isFinished = false
    public var isQueued = false

    /// When the session came into its present state, on the wall clock, in seconds since 1970.
    public private(set) var stateSince: Int
    private var lastState: SessionState
    private(set) var stateBegan: Instant
    public internal(set) var history = SessionHistory()
    public private(set) var ending: Ending?

    enum LegReset {
        case none
        /// Wanted, once what was written has left for the application, or at this time.
        case due(Instant)
    }

    /// A session from the opener's side, named `id`; it begins to dial at once.
    ///
    /// - Parameters:
    ///   - network: which sources of links are usable now; all of them, if that is not known.
    public static func open(
        _ id: SessionID, to destination: SocketAddress, over paths: LinkPaths, _ protection: LinkProtection,
        network: NetworkState? = nil,
        suspendLimit: Interval, buffers: SessionBuffers, on loop: EventLoop, owner: any SessionOwner
    ) throws(CryptoError) -> SessionDriver {
        let agreement = try loop.keyPair.take()
        let open = OpenMessage(
            session: id, keyShare: agreement.share, destination: Destination(destination),
            suspendLimit: UInt32(clamping: suspendLimit.nanoseconds / 1_000_000_000))
        let promise = WindowPromise(buffers, from: loop.arena.budget)
        var configuration = buffers.configuration(suspendLimit: suspendLimit, seed: id.low, promise)
        configuration.mode = paths.mode
        configuration.paths = paths.usable(in: network)
        configuration.destinations = paths.gateways.count
        let driver = SessionDriver(
            session: .opener(open, configuration, loop.now), destination: destination, paths: paths,
            agreement: agreement, key: nil, promise, buffers, loop, owner)
        driver.tls = protection.tls
        driver.settle()
        return driver
    }

    /// A session whose target has accepted, from the acceptor's side: `opened` is its sealed answer. `first` is the
    /// connection of the first OPEN, if that still lives.
    public static func accept(
        _ id: SessionID, key: consuming ResumeKey, instance: UInt64, opened: [UInt8], destination: SocketAddress,
        leg: consuming TCPSocket, escrowKey: UInt64, first: consuming AcceptedLink?, suspendLimit: Interval,
        buffers: SessionBuffers,
        on loop: EventLoop, owner: any SessionOwner
    ) throws(Errno) -> SessionDriver {
        let promise = WindowPromise(buffers, from: loop.arena.budget)
        let configuration = buffers.configuration(suspendLimit: suspendLimit, seed: id.low, promise)
        let session = Session.acceptor(
            id, instance: instance, opened: opened, link: first?.decoder, configuration, loop.now)
        let driver = SessionDriver(
            session: session, destination: destination, paths: nil, agreement: nil, key: key, promise, buffers, loop,
            owner)
        do throws(Errno) {
            try driver.attachLeg(leg, escrowKey: escrowKey)
        } catch {
            driver.selfWhileActive = nil
            throw error
        }
        driver.note(.opened)
        if let first { driver.add(first, as: 0) }
        driver.settle()
        return driver
    }

    init(
        session: consuming Session, destination: SocketAddress, paths: LinkPaths?,
        agreement: consuming KeyAgreement?, key: consuming ResumeKey?, _ promise: consuming WindowPromise,
        _ buffers: SessionBuffers, _ loop: EventLoop, _ owner: any SessionOwner
    ) {
        self.loop = loop
        self.destination = destination
        self.paths = paths
        usablePaths = session.configuration.paths
        self.agreement = agreement
        self.key = key
        self.owner = owner
        self.promise = promise
        lastState = session.state
        self.session = session
        stateSince = time(nil)
        stateBegan = loop.now
        outbound = Ring(arena: loop.arena, maximum: buffers.replay)
        growth = ReplayGrowth(end: 0, loop.now)
        held = Ring(arena: loop.arena, maximum: buffers.window, isPaidFor: true)
        selfWhileActive = self
    }

    // MARK: - What the owner does

    /// Gives the session up; the peer's application sees a reset.
    public func drop(saying reason: GoneMessage.Reason) {
        session.drop(saying: reason, loop.now)
        settle()
        // Nobody sends it any more: a session that is given up for its memory gives it now.
        guard links.allSatisfy(\.queue.isEmpty) else { return }
        outbound.release(below: outbound.end)
        outbound.trim { owner?.recoveryFactsChanged(self, .ringTrimmed) }
    }

    /// The application waits for its leg at an address whose listener is in escrow.
    public func legIsHeld(escrowKey: UInt64) {
        owner?.recoveryFactsChanged(self, .legHeld(escrowKey: escrowKey))
    }

    /// The application will not come for its leg, or has gone without one.
    public func abandonLeg() {
        expectsLeg = false
        session.applicationReset(code: 0, loop.now)
        settle()
    }

    /// A link that has sent ATTACH. Without the right proof it is closed, and nothing else happens; if it cannot join,
    /// it is told why.
    public func join(_ attach: Unverified<AttachClaim>, over link: consuming AcceptedLink) {
        guard let verified = proof(of: attach.transcript).flatMap(attach.verified(by:)) else { return }
        let joining = session.join(verified, link.decoder, loop.now)
        switch joining {
        case .joined(let claim):
            owner?.recoveryFactsChanged(self, .epoch(session.highestEpoch))
            seal(claim, on: claim.link)
            add(link, as: claim.link)
        case .stale(let claim):
            // The opener dials again, with an epoch above the one that it is told here.
            guard let proof = proof(of: claim.unsealed.transcript) else { return }
            LastWords.say(claim.unsealed.sealed(with: proof), over: link.intoLink(), on: loop)
        case .gone(let gone): LastWords.say(gone.encoded, over: link.intoLink(), on: loop)
        }
        settle()
    }

    /// The session is over, but links have yet to take the frames that say so.
    public var hasUnsaidWords: Bool {
        links.contains { !$0.queue.isEmpty || $0.stage == .ending || session.hasHandshake($0.number) }
    }

    /// Bytes that the application has written and this process has not read.
    public var unreadBytes: Int { (try? leg?.socket.unreadBytes()) ?? 0 }

    public func withResumeKey(_ body: (UnsafeRawBufferPointer) -> Void) { key?.withBytes(body) }

    // MARK: - The core of the driver

    /// Does what the session asks for until it asks for nothing, then sets the timer.
    func settle() {
        guard !isSettling, !isFinished else { return }
        isSettling = true
        repeat {
            while let effect = session.nextEffect() { perform(effect) }
            outbound.release(below: session.acknowledged)
            deliverHeld()
            deliverFin()
            readLeg()
            for link in links { flush(link) }
            closeLegIfComplete()
        } while session.hasEffects
        isSettling = false
        if promise.growIfUsed(promised: session.promisedSpace, delivered: session.delivered) {
            session.limitWindow(to: UInt64(promise.window))
        }
        noteState()
        armTimer()
        finishIfClosed()
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .dial(let number, let path): dial(number, on: path)
        case .examine(let number): examine(number)
        case .suspected(let number):
            history.note(.silent, loop.now)
            owner?.linkFailed(self, .silent)
            warnNeighbours(of: number)
        case .attach(let number):
            guard let claim = session.attachClaim(on: number) else { return }
            owner?.recoveryFactsChanged(self, .epoch(session.highestEpoch))
            seal(claim, on: number)
        case .close(let number): close(number)
        case .resetLeg: resetLeg()
        case .ended(let ending):
            self.ending = ending
            lingerDeadline = loop.now + SessionDriver.lingerLimit
            if leg == nil { expectsLeg = false }
            owner?.sessionEnded(self, ending)
        }
    }

    func nextTag() -> UInt32 {
        lastTag += 1
        return lastTag
    }

    func seal(_ claim: AttachClaim, on number: LinkNumber) {
        let frame = claim.unsealed
        guard let proof = proof(of: frame.transcript) else { return lose(number, .unproven) }
        session.sendAttach(frame.sealed(with: proof), on: number)
    }

    /// The proof of a frame's transcript; nil while there is no key.
    public func proof(of transcript: [UInt8]) -> Proof? {
        guard let bytes = try? key?.proof(of: transcript) else { return nil }
        return Proof(bytes: bytes)
    }

    /// The answer to OPEN brings the other half of the key.
    func take(_ opened: Unverified<OpenedMessage>, on number: LinkNumber) {
        key = try? agreement?.resumeKey(as: .opener, of: session.id, with: opened.keyShare)
        guard let proof = proof(of: opened.transcript), let verified = opened.verified(by: proof) else {
            // Somebody on the path has changed OPEN or OPENED; the pending session can be asked again.
            key = nil
            return lose(number, .unproven)
        }
        agreement = nil
        loop.keyPair.replenish()
        session.opened(verified, on: number, loop.now)
        owner?.recoveryFactsChanged(self, .opened)
        owner?.sessionOpened(self)
    }

    func lose(_ number: LinkNumber, _ failure: LinkFailure) {
        let hadJoined = SessionHistory.hadJoined(number, of: session)
        judgeFastOpening(number, failure)
        warnNeighbours(of: number)
        guard session.linkLost(number, failure, loop.now) else { return }
        history.noteLoss(failure, hadJoined: hadJoined, session, loop.now)
        owner?.linkFailed(self, failure)
    }

    // MARK: - Time and ends

    private func noteState() {
        history.observe(session, since: stateBegan, in: lastState, loop.now)
        let state = session.state
        guard state != lastState else { return }
        lastState = state
        stateSince = time(nil)
        stateBegan = loop.now
        owner?.stateChanged(self)
    }

    /// For what only those around the session know of it.
    public func note(_ event: SessionHistory.Event) { history.note(event, loop.now) }

    private func armTimer() {
        var wanted = session.deadline
        if case .due(let deadline) = legReset {
            wanted = earlier(wanted, min(deadline, loop.now + SessionDriver.resetPoll))
        }
        if let lingerDeadline { wanted = earlier(wanted, lingerDeadline) }
        if isStarved, leg != nil { wanted = earlier(wanted, loop.now + SessionDriver.roomPoll) }
        guard let wanted else { return }
        if let timer {
            // A timer that fires too early finds nothing to do and is set again: cheaper than moving it with every frame.
            if timer.at <= wanted { return }
            loop.cancel(timer.token)
        }
        timer = (loop.schedule(self, at: wanted), wanted)
    }

    /// Gives the replay buffer's slot back once nothing has passed through it from one timer to the next. Sooner would be
    /// a new slot for every message of a conversation.
    private func trimIfIdle() {
        if outbound.end == endAtLastTimer {
            outbound.trim { owner?.recoveryFactsChanged(self, .ringTrimmed) }
        }
        endAtLastTimer = outbound.end
    }

    private func earlier(_ instant: Instant?, _ other: Instant) -> Instant { instant.map { min($0, other) } ?? other }

    private func finishIfClosed() {
        guard session.isOver, !isFinished else { return }
        if let lingerDeadline, lingerDeadline <= loop.now {
            for link in links { close(link.number) }
            if leg != nil { abortLeg() }
        }
        guard links.isEmpty, leg == nil else { return }
        isFinished = true
        if let timer { loop.cancel(timer.token) }
        timer = nil
        owner?.driverFinished(self)
        owner = nil
        selfWhileActive = nil
    }
}

extension SessionDriver: TimerHandler {
    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        guard !isFinished else { return }
        session.tick(loop.now)
        if case .due = legReset { resetLeg() }
        trimIfIdle()
        settle()
    }
}

extension SessionDriver: LoopTask {
    public func run(on loop: EventLoop) {
        for link in links where link.isReadable && link.stage.isSecured { read(link) }
        settle()
    }
}

extension SessionDriver: EventHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        if tag == SessionDriver.legTag {
            leg?.note(events)
        } else if let link = links.first(where: { $0.tag == tag }) {
            link.note(events)
            switch link.stage {
            case .connecting, .connectingEarly: finishConnect(link)
            case .securing, .securingEarly: secure(link)
            case .open, .ending, .ended: break
            }
            if link.stage.isSecured, link.isReadable { read(link) }
        }
        settle()
    }
}
