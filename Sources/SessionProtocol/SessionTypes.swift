/// What a driver chooses when it makes a session.
public struct SessionConfiguration: Sendable {
    /// Receive window at the start and at most, in bytes.
    public var window: UInt64
    public var maximumWindow: UInt64
    /// How long the session may be without a link.
    public var suspendLimit: Interval
    /// Opener: what several links are for.
    public var mode: LinkMode
    /// Opener: the paths at the start, the first of which is dialled first.
    public var paths: [PathID]
    /// Opener: how many addresses the acceptor has. Dials on a path lead to each in turn.
    public var destinations = 1
    /// Seeds the jitter of the backoff.
    public var seed: UInt64

    public init(
        window: UInt64 = 256 * 1024, maximumWindow: UInt64 = 16 * 1024 * 1024, suspendLimit: Interval = .hours(24),
        mode: LinkMode = .failover, paths: [PathID] = [PathID(0)], seed: UInt64
    ) {
        self.window = window
        self.maximumWindow = maximumWindow
        self.suspendLimit = suspendLimit
        self.mode = mode
        self.paths = paths
        self.seed = seed
    }
}

/// How a session ended.
public enum Ending: Equatable, Sendable {
    /// Both directions were delivered to their ends.
    case finished
    /// This end's application reset its side, and the peer knows.
    case abortedHere
    /// The peer's application reset its side; the leg is reset.
    case abortedByPeer
    /// OPEN was refused.
    case refused(RefusedMessage)
    /// The peer has no such session any more; the leg is reset.
    case gone(GoneMessage.Reason)
    /// No link for longer than the limit; the leg is reset.
    case expired
    /// The opener never spoke after OPENED.
    case unconfirmed
    /// The peer's positions cannot be true; the leg is reset.
    case violation(Violation)
    /// Ended from this side: the process goes, or someone or a limit gave the session up. The peer is told this reason.
    case dropped(GoneMessage.Reason)

    /// The session failed, rather than an application: bytes under way are lost that plain TCP could have delivered.
    public var isFailure: Bool {
        switch self {
        case .finished, .abortedHere, .abortedByPeer, .refused: false
        case .gone, .expired, .unconfirmed, .violation, .dropped: true
        }
    }

    /// The application's connection must end in a reset, since its stream may be cut short.
    public var resetsLeg: Bool {
        switch self {
        case .finished, .abortedHere: false
        case .abortedByPeer, .refused, .gone, .expired, .unconfirmed, .violation, .dropped: true
        }
    }
}

/// A peer's claim that cannot be true: it ends that one session.
public enum Violation: Equatable, Sendable {
    case acknowledgedUnsent
    case receivedUnsent
    case beyondWindow
    case beyondFin
}

/// What the driver must do next.
public enum Effect: Equatable, Sendable {
    /// Open a transport connection on this path and report ``Session/linkConnected(_:roundTrip:_:)`` or
    /// ``Session/linkLost(_:_:_:)``.
    case dial(LinkNumber, PathID)
    /// Make the proof of ``Session/attachClaim(on:_:)`` and hand it to ``Session/sendAttach(_:on:)``.
    case attach(LinkNumber)
    /// Read what has arrived on the link, then report ``Session/linkExamined(_:_:_:)``.
    case examine(LinkNumber)
    /// The link does not answer; another is being dialled, or has taken over. For whoever wants to know.
    case suspected(LinkNumber)
    /// Close the transport connection; whatever of it was not sent is not needed.
    case close(LinkNumber)
    /// Reset the leg, once everything delivered has left for the application or the abort timer has fired.
    case resetLeg
    /// The session is over; nothing follows.
    case ended(Ending)
}

/// What ``Session/receive(on:_:_:_:)`` found that the driver must act on.
public enum Received: Sendable {
    /// All input is consumed.
    case needMore
    /// The next bytes for the application, in order: `range` of the input. If ``Session/receivedPosition`` is then
    /// beyond them, bytes that came early follow.
    case data(Range<Int>)
    /// Bytes that came before those that precede them, which another link carries: `range` of the input is to be kept at
    /// this position.
    case early(Position, Range<Int>)
    /// The driver checks the proof: then ``Session/opened(_:on:_:)`` or ``Session/linkLost(_:_:_:)``.
    indirect case opened(Unverified<OpenedMessage>)
    /// Acceptor: a link that has carried OPEN attaches like any other. The driver checks the proof: then
    /// ``Session/join(_:as:_:_:)`` or ``Session/linkLost(_:_:_:)``.
    indirect case attach(Unverified<AttachClaim>)
    /// Opener: the driver checks the proof: then ``Session/attached(_:on:_:)`` or ``Session/linkLost(_:_:_:)``.
    indirect case attached(Unverified<AttachClaim>)
    /// The link is of no more use; its rest is to be thrown away. The driver closes it.
    case linkFailed(LinkFailure)
}

/// A frame to be sent.
public enum OutgoingFrame: Equatable, Sendable {
    /// Complete bytes: preface and handshake.
    case handshake([UInt8])
    /// A frame without payload.
    case header(FrameHeader)
    /// A DATA frame, whose payload lies in the ring.
    case data(FrameHeader, Range<Position>)
    /// Nothing follows on this link: shut its writing side down behind what was sent, and close it when the peer has
    /// done the same.
    case end
}

/// What `usl status` shows.
public enum SessionState: String, Sendable {
    case opening
    case active
    case suspended
    case closing
}
