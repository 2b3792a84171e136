/// A session: a pair of byte streams that outlives every link. A value that only counts.
///
/// It does no I/O, reads no clock and holds no application bytes. A driver, which has all three, uses it like this:
///
/// * **What the application did**: ``applicationWrote(_:)``, ``applicationFinished()``, ``applicationReset(code:_:)``,
///   ``applicationTook(_:_:)``, ``applicationTookFin(_:)``.
/// * **What the network did**: ``linkConnected(_:roundTrip:_:)``, ``linkLost(_:_:_:)``, ``receive(on:_:_:_:)`` until it
///   says `needMore`, and for the handshake ``opened(_:on:_:)``, ``attached(_:on:_:)``, ``join(_:_:replacing:_:)``;
///   ``linkExamined(_:_:_:)`` when asked, ``networkChanged(_:)``, ``suspect(_:_:)``, ``checkLinks(_:)``,
///   ``addPath(_:_:)``, ``removePath(_:_:)`` when there is cause.
/// * **What the clock did**: ``tick(_:)`` at ``deadline``.
/// * **What to do next**, after each of these: ``nextEffect()`` until nil; ``nextFrame(on:_:maximumData:)`` for each
///   link that can be written to, until nil; bytes below ``acknowledged`` may leave the ring; ``finIsDue`` says when to
///   shut the leg's writing side.
///
/// Rules of the protocol are numbered as in docs/protocol.md.
public struct Session: Sendable {
    /// Bound on a link's way from dialling to joining, and on how long a retired one may linger.
    public static let handshakeLimit = Interval.seconds(10)
    /// A link that was silent this long is pinged; it also keeps NAT entries alive, most of which last 30 s or more.
    public static let idlePing = Interval.seconds(15)
    /// The same at an acceptor: for what an opener's PING has not done in time. With the same limit both would send theirs at once.
    public static let acceptorPing = Interval.seconds(16)
    /// When PINGs leave: at a multiple of this, so that the many idle sessions of a process are served by a few wake-ups.
    static let pingPace = Interval.milliseconds(100)
    /// The same for a link that waits beside the current one: how often paths are compared.
    public static let standbyPing = Interval.seconds(5)
    /// The same for the opener's current link while it waits for an acknowledgement.
    public static let waitingPing = Interval.seconds(5)
    /// An opener that knows no link yet dials its paths one after the other, the first one first.
    public static let pathStagger = Interval.milliseconds(250)
    /// How long bytes before an ABORT may take to reach an application that does not read (rule 8).
    public static let abortGrace = Interval.seconds(5)
    /// How long an opener with nothing left to lose waits for the acceptor's GONE.
    public static let farewellLimit = Interval.seconds(30)
    /// An opener that stays silent for this long after OPENED loses the session (rule 1).
    public static let confirmationLimit = Interval.seconds(10)

    /// Links that an acceptor holds at most: rivals, and such as have died without a sign.
    static let maximumLinks = 16

    enum Phase: Equatable {
        /// The opener has no OPENED yet; `frame` is its OPEN, `sent` counts the links that have carried it.
        case opening(frame: [UInt8], sent: Int)
        case open
        /// An opener whose application's side is settled, and that only waits for GONE.
        case farewell(Ending)
        case over(Ending)
    }

    public let id: SessionID
    public let role: Role
    public internal(set) var configuration: SessionConfiguration
    var phase: Phase
    var sender = Sender()
    var receiver: Receiver
    var links: [Link] = []
    /// Opener: where it dials.
    var paths: [Path] = []
    /// How several links are used: an opener's choice, which the acceptor is told.
    var mode: LinkMode
    /// The newest turn: given (opener), or taken by a link that is current alone (acceptor).
    var turn: UInt64 = 0
    /// Opener: when it last went over to a better path.
    var lastPreference = Instant(nanoseconds: 0)
    /// This end goes on for a process that has died, and its peer has yet to learn so.
    var isRestarted = false
    var timers = TimerTable()
    private var effects: [Effect] = []
    /// An acceptor calls the link of the first OPEN 0, whichever that was; so no opener does.
    var nextLinkNumber: LinkNumber = 1
    /// Opener: the last epoch sent. Acceptor: unused.
    var lastEpoch: Epoch = 0
    /// Acceptor: the epochs accepted. Opener: unused.
    var epochs = EpochWindow()
    /// The acceptor's instance number: an acceptor's own, or what OPENED told.
    public internal(set) var instance: UInt64
    /// This end's application reset its side, with this code.
    var abortHere: UInt8?
    /// The peer's application reset its side, at this position.
    var abortByPeer: Position?
    /// Set while no link is joined.
    public internal(set) var suspendedSince: Instant?
    /// Why the last link was lost, until the next one joins.
    public internal(set) var lastFailure: LinkFailure?
    /// Links that have become current in place of one before.
    public internal(set) var reconnects: UInt64 = 0
    var hasHadLink = false

    /// A new session from the opener's side; the first effect is to dial.
    public static func opener(_ open: OpenMessage, _ configuration: SessionConfiguration, _ now: Instant) -> Session {
        var session = Session(
            id: open.session, role: .opener, configuration, phase: .opening(frame: open.encoded, sent: 0), instance: 0)
        session.noteSuspension(now)
        session.dialIfNeeded(now)
        return session
    }

    /// A session whose target has accepted, from the acceptor's side. It may send on `link`, the link of the first
    /// OPEN, if that still lives; `opened` is the answer, sealed.
    public static func acceptor(
        _ id: SessionID, instance: UInt64, opened: [UInt8], link: FrameDecoder?, _ configuration: SessionConfiguration,
        _ now: Instant
    ) -> Session {
        var session = Session(id: id, role: .acceptor, configuration, phase: .open, instance: instance)
        session.timers[.confirmation] = now + confirmationLimit
        if let link {
            var first = Link(number: 0, state: .current, decoder: link, now: now)
            first.handshake.append(opened)
            first.currentSince = now
            session.hasHadLink = true
            session.links.append(first)
            session.timers[.idle] = now + acceptorPing
        } else {
            session.suspendedSince = now
        }
        return session
    }

    private init(
        id: SessionID, role: Role, _ configuration: SessionConfiguration, phase: Phase, instance: UInt64
    ) {
        self.id = id
        self.role = role
        self.configuration = configuration
        self.phase = phase
        self.instance = instance
        receiver = Receiver(window: configuration.window, maximumWindow: configuration.maximumWindow)
        mode = configuration.mode
        guard role == .opener else { return }
        paths = configuration.paths.map { path(named: $0) }
    }

    /// A session that goes on for a process that has died. It has no link: an opener dials, an acceptor waits.
    public static func restored(
        _ snapshot: SessionSnapshot, _ configuration: SessionConfiguration, _ now: Instant
    ) -> Session {
        var session = Session(
            id: snapshot.id, role: snapshot.role, configuration, phase: .open, instance: snapshot.instance)
        session.isRestarted = true
        session.hasHadLink = true
        session.sender = Sender(ringBase: snapshot.ringBase, taken: snapshot.taken, isFinished: snapshot.finTaken)
        session.receiver = Receiver(
            delivered: snapshot.delivered, isFinished: snapshot.finDelivered, window: configuration.window,
            maximumWindow: configuration.maximumWindow)
        session.abortHere = snapshot.aborted
        switch snapshot.role {
        case .opener: session.lastEpoch = snapshot.epoch
        case .acceptor: session.epochs = EpochWindow(highest: snapshot.epoch)
        }
        session.noteSuspension(now)
        session.dialIfNeeded(now)
        return session
    }

    // MARK: What the driver may ask

    /// Bytes below are delivered at the peer and may leave the ring. Never beyond ``sent``'s end of bytes.
    public var acknowledged: Position { min(sender.acknowledged, sender.end) }
    /// End of the bytes that the application has given.
    public var taken: Position { sender.end }
    /// End of what the application at this end has been given, FIN included.
    public var delivered: Position { receiver.delivered }
    /// End of the contiguous bytes that this end holds or has delivered.
    public var receivedPosition: Position { receiver.received }
    /// Bytes that may still be lost if this process ends now; nothing counts for an application that reset its side.
    public var undelivered: UInt64 {
        switch phase {
        case .opening, .open: abortHere == nil && abortByPeer == nil ? sender.endWithFin - sender.acknowledged : 0
        case .farewell, .over: 0
        }
    }
    /// Every byte before FIN is in the leg: shut its writing side, then call ``applicationTookFin(_:)``.
    public var finIsDue: Bool { receiver.finIsDue && !isEnding }
    /// Both directions were delivered to their ends; the leg can be closed without loss.
    public var isComplete: Bool { sender.isDone && receiver.isDone }
    public var isOpen: Bool { if case .opening = phase { false } else { !isOver } }
    public var isOver: Bool { if case .over = phase { true } else { false } }
    /// The application's bytes are still wanted.
    public var takesApplicationBytes: Bool { !sender.isFinished && abortHere == nil && !isEnding }
    /// Bytes have been taken from the application that no link has carried yet, or that wait to be sent again.
    public var hasUnsent: Bool { sender.next < sender.end || !sender.resend.isEmpty }
    /// Received bytes still have somebody to go to.
    public var wantsDelivery: Bool { abortHere == nil && !isEnding }
    /// An attached link exists.
    public var hasLink: Bool { links.contains { $0.hasJoined } }
    /// Every link that new data goes out on is suspect, or there is none.
    public var isSilent: Bool {
        var isAny = false
        for link in links where link.state == .current {
            if !link.liveness.isSuspect { return false }
            isAny = true
        }
        return isAny
    }
    public func knows(_ number: LinkNumber) -> Bool { index(of: number) != nil }
    /// The smoothed round trip of a link, once there is one.
    public func roundTrip(of number: LinkNumber) -> Interval? {
        index(of: number).flatMap { links[$0].liveness.roundTrip.smoothed }
    }
    /// The path that a link was dialled on; opener only.
    public func path(of number: LinkNumber) -> PathID? { index(of: number).map { links[$0].path } }
    /// How long the session may be without a link: the smaller of what both ends grant.
    public var suspendLimit: Interval { configuration.suspendLimit }
    /// When a session without a link will be given up.
    public var suspensionEnds: Instant? { timers[.suspension] ?? timers[.confirmation] }
    /// The most that the peer may be promised at present.
    public var window: UInt64 { receiver.window }
    /// Receive space that the peer was promised and has not used up: it counts as memory in use.
    public var promisedSpace: UInt64 { receiver.promisedSpace }
    public func isCurrent(_ number: LinkNumber) -> Bool {
        links.contains { $0.number == number && $0.state == .current }
    }
    /// When ``tick(_:)`` wants to be called.
    public var deadline: Instant? { timers.next }

    var isEnding: Bool {
        switch phase {
        case .opening, .open: false
        case .farewell, .over: true
        }
    }

    public var state: SessionState {
        switch phase {
        case .opening: return .opening
        case .farewell, .over: return .closing
        case .open:
            if !hasLink || isSilent { return .suspended }
            let bothFinished = sender.isFinished && receiver.finPosition != nil
            return bothFinished || abortHere != nil || abortByPeer != nil ? .closing : .active
        }
    }

    public var hasEffects: Bool { !effects.isEmpty }
    public mutating func nextEffect() -> Effect? { effects.isEmpty ? nil : effects.removeFirst() }
    mutating func emit(_ effect: Effect) { effects.append(effect) }

    // MARK: What the application did

    /// `count` more bytes of the application are in the ring.
    public mutating func applicationWrote(_ count: Int) { sender.append(count) }

    /// The application will send no more: EOF on its leg.
    public mutating func applicationFinished() {
        guard takesApplicationBytes else { return }
        sender.finish()
    }

    /// The application reset its side (rule 8). What it gave before still goes out.
    public mutating func applicationReset(code: UInt8, _ now: Instant) {
        guard abortHere == nil, !isComplete else { return }
        switch phase {
        case .opening:
            // Nothing to abort at the peer that its own confirmation limit does not end.
            end(.abortedHere, saying: .aborted, now)
        case .open:
            abortHere = code
            if abortByPeer != nil { answerAbort(now) }
        case .farewell, .over: return
        }
    }

    /// The leg has taken `count` more of the received bytes.
    public mutating func applicationTook(_ count: Int, _ now: Instant) {
        receiver.deliver(count, now)
        scheduleAcknowledgement(now)
        answerAbortIfDue(now)
    }

    /// The leg's writing side is shut.
    public mutating func applicationTookFin(_ now: Instant) {
        receiver.deliverFin()
        answerAbortIfDue(now)
        finishIfComplete(now)
    }

    /// Gives the session up from this side, for `reason`; the peer's application will see a reset.
    ///
    /// An opener that has no link dials on for a while, so that the acceptor need not wait for its limit to learn of it.
    public mutating func drop(saying reason: GoneMessage.Reason, _ now: Instant) {
        switch phase {
        case .open where role == .opener && (!hasLink || isSilent) && !isComplete:
            phase = .farewell(.dropped(reason))
            timers[.farewell] = now + Session.farewellLimit
            timers[.suspension] = nil
            emit(.resetLeg)
        case .opening, .open, .farewell: end(.dropped(reason), saying: reason, now)
        case .over: return
        }
    }

    /// From now on the receive window grows to at most this many bytes. What was promised stays promised.
    public mutating func limitWindow(to maximum: UInt64) { receiver.limitWindow(to: maximum) }

    // MARK: What the clock did

    public mutating func tick(_ now: Instant) {
        if timers.fires(.acknowledge, now), receiver.hasUnannounced { receiver.requestAcknowledgement() }
        if timers.fires(.dial, now) { dialDuePaths(now) }
        if timers.fires(.liveness, now) { examineLinks(now) }
        if timers.fires(.handshake, now) { closeOverdueLinks(now) }
        if timers.fires(.idle, now) { pingIdleLinks(now) }
        if timers.fires(.confirmation, now) { end(.unconfirmed, saying: .expired, now) }
        if timers.fires(.suspension, now), !hasLink { end(.expired, saying: .expired, now) }
        if timers.fires(.abort, now), abortByPeer != nil { answerAbort(now) }
        if timers.fires(.farewell, now) {
            switch phase {
            case .farewell(.dropped(let reason)): end(.dropped(reason), saying: reason, now)
            case .farewell(let ending): end(ending, saying: .over, now)
            case .open where isComplete: end(.finished, saying: .over, now)
            case .opening, .open, .over: break
            }
        }
    }

    // MARK: Endings

    func goneMessage(_ reason: GoneMessage.Reason) -> GoneMessage {
        GoneMessage(
            reason: reason, instance: role == .acceptor ? instance : 0,
            positions: .init(sent: sender.endWithFin, delivered: receiver.delivered))
    }

    /// What an acceptor answers to an ATTACH for this session once it is over.
    public var epitaph: GoneMessage? {
        guard case .over(let ending) = phase else { return nil }
        switch ending {
        case .finished: return goneMessage(.over)
        case .abortedHere, .abortedByPeer: return goneMessage(.aborted)
        case .gone(let reason): return goneMessage(reason)
        case .expired, .unconfirmed: return goneMessage(.expired)
        case .violation: return goneMessage(.violation)
        case .dropped(let reason): return goneMessage(reason)
        case .refused: return goneMessage(.ending)
        }
    }

    /// The one place where a session ends: says GONE on every joined link and closes the rest.
    mutating func end(_ ending: Ending, saying reason: GoneMessage.Reason, _ now: Instant) {
        guard !isOver else { return }
        let resetsLeg = ending.resetsLeg && !isEnding && !isComplete
        let farewell = goneMessage(reason).encoded
        for index in links.indices {
            if links[index].hasJoined {
                links[index].handshake.append(farewell)
                links[index].state = .leaving
                links[index].endsAfterHandshake = true
            } else if links[index].state != .leaving {
                emit(.close(links[index].number))
            }
        }
        links.removeAll { $0.state != .leaving }
        phase = .over(ending)
        timers.clearAll()
        if resetsLeg { emit(.resetLeg) }
        emit(.ended(ending))
    }

    /// The opener has heard GONE: nobody is left to talk to.
    mutating func endWithoutWord(_ ending: Ending, _ now: Instant) {
        for link in links { emit(.close(link.number)) }
        links.removeAll()
        end(ending, saying: .over, now)
    }

    /// Both directions complete: the acceptor is over and says so; the opener waits to hear it (rule 7).
    mutating func finishIfComplete(_ now: Instant) {
        guard isComplete, phase == .open else { return }
        switch role {
        case .acceptor: end(.finished, saying: .over, now)
        case .opener: if timers[.farewell] == nil { timers[.farewell] = now + Session.farewellLimit }
        }
    }

    private mutating func answerAbortIfDue(_ now: Instant) {
        guard let position = abortByPeer, receiver.delivered >= position else { return }
        answerAbort(now)
    }

    /// Everything before the peer's ABORT was delivered, or has had its time: the leg is reset, and the peer told.
    mutating func answerAbort(_ now: Instant) {
        guard phase == .open else { return }
        let ending: Ending = abortHere == nil ? .abortedByPeer : .abortedHere
        switch role {
        case .acceptor: end(ending, saying: .aborted, now)
        case .opener:
            phase = .farewell(ending)
            timers[.farewell] = now + Session.farewellLimit
            timers[.abort] = nil
            if abortHere == nil, !isComplete { emit(.resetLeg) }
            sayFarewell()
        }
    }

    /// An opener's last word, say its answer to ABORT; the link stays, for the acceptor's own GONE.
    mutating func sayFarewell() {
        guard case .farewell(let ending) = phase,
            let index = links.firstIndex(where: { $0.state == .current && $0.handshake.isEmpty })
        else { return }
        if case .dropped(let reason) = ending {
            links[index].handshake.append(goneMessage(reason).encoded)
        } else if abortByPeer != nil {
            links[index].handshake.append(goneMessage(.aborted).encoded)
        }
    }

    mutating func scheduleAcknowledgement(_ now: Instant) {
        guard receiver.hasUnannounced, timers[.acknowledge] == nil else { return }
        timers[.acknowledge] = now + Receiver.ackDelay
    }
}
