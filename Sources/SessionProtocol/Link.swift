/// A transport connection of a session, as the core sees it.
struct Link: Sendable {
    enum State: Equatable, Sendable {
        /// The driver dials; opener only.
        case connecting
        /// Likewise, and ATTACH goes with the transport's first packet, which nobody has answered; the epoch once it is sent.
        case connectingEarly(Epoch?)
        /// OPEN was sent; opener only.
        case opening
        /// The driver is asked for an ATTACH; opener only.
        case claiming
        /// ATTACH with this epoch was sent; opener only.
        case attaching(Epoch)
        /// Waits, and is read from; nothing but PING and PONG goes out on it.
        case joined
        /// New data goes out on it.
        case current
        /// LEAVE is on its way; closed when that has left.
        case leaving
    }

    /// How far a leaving link has come.
    enum Farewell: Sendable { case unsaid, said, ended }

    let number: LinkNumber
    /// Opener: the path that it was dialled on.
    let path: PathID
    var state: State
    /// When it was dialled, or its transport connection was made: how long an answer has been missing.
    var stageSince: Instant
    var decoder: FrameDecoder
    /// Unacknowledged positions that were sent on this link.
    var carried = PositionRanges()
    /// Complete handshake frames that wait to be sent.
    var handshake: [[UInt8]] = []
    /// The echo value of a PING that wants its PONG.
    var owedPong: UInt64?
    var wantsPing = false
    /// Opener: the driver dials others first.
    var isPutOff = false
    var abortSent = false
    /// Set as the link becomes current, until a frame has left on it: this end's last acknowledgement may have left on a
    /// link that was dead already.
    var owesFrame = false
    /// Opener: what the acceptor has yet to be told of this link's part.
    var owedTurn: Turn?
    /// Acceptor: the newest turn that this link was given.
    var turn: UInt64 = 0
    /// Mirror: where this link is in the stream.
    var mirrored: Position = 0
    /// Nothing more is sent behind the handshake frames: the last of them is GONE, or the peer has said LEAVE.
    var endsAfterHandshake = false
    var farewell = Farewell.unsaid
    var liveness: Liveness
    var handshakeDeadline: Instant?
    var currentSince: Instant?

    init(
        number: LinkNumber, on path: PathID = PathID(0), state: State, decoder: FrameDecoder = FrameDecoder(),
        now: Instant
    ) {
        self.number = number
        self.path = path
        self.state = state
        self.decoder = decoder
        stageSince = now
        liveness = Liveness(now)
    }

    /// Both ends know the session on this link.
    var hasJoined: Bool {
        switch state {
        case .joined, .current: true
        case .connecting, .connectingEarly, .opening, .claiming, .attaching, .leaving: false
        }
    }

    /// Joined, and not suspect.
    var isHealthy: Bool { hasJoined && !liveness.isSuspect }

    /// Dialled, and not joined yet.
    var isOnItsWay: Bool {
        switch state {
        case .connecting, .connectingEarly, .opening, .claiming, .attaching: true
        case .joined, .current, .leaving: false
        }
    }

    /// Nobody has answered the dial.
    var isConnecting: Bool {
        switch state {
        case .connecting, .connectingEarly: true
        case .opening, .claiming, .attaching, .joined, .current, .leaving: false
        }
    }
}

/// What an opener tells of a link's part, as a flagged ACK. Turns are numbered through all links of a session, since
/// frames on different links overtake each other.
struct Turn: Equatable, Sendable {
    /// The flags of the ACK.
    enum Part: UInt8, Sendable {
        /// Current, and the links with lower turns are not any more.
        case alone = 1
        /// Current beside the others, with everything on each.
        case mirrored = 2
        /// Current beside the others, with everything on one of them.
        case striped = 3
    }

    let number: UInt64
    let part: Part
}

/// Why a link is lost, or was never had.
public enum LinkFailure: Error, Equatable, Sendable {
    /// EOF without FIN: never an end, always a broken link.
    case closed
    /// A socket error, as errno.
    case socket(Int32)
    /// Connecting or joining took longer than ``Session/handshakeLimit``.
    case handshakeTimeout
    case frame(FrameError)
    /// The peer's proof was wrong, or its epoch was not the one sent.
    case unproven
    /// The epoch was not new to the acceptor, which has told a newer one.
    case staleEpoch
    /// GONE from another gateway at the same address: not this session's business.
    case otherInstance
    /// Nothing has come back on the link for too long; another has taken its place.
    case silent
    /// What protects the link did not come about.
    case security(SecurityFailure)
}

/// Why a link could not be protected (TLS).
public enum SecurityFailure: Error, Equatable, Sendable {
    /// The peer's key is not the one that this end takes for its peer's.
    case untrustedKey
    /// The peer does not admit this end's key.
    case notAdmitted
    /// The peer speaks plain links.
    case plainPeer
    case handshake
}
