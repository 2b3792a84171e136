/// A transport connection of a session, as the core sees it.
struct Link: Sendable {
    enum State: Equatable, Sendable {
        /// The driver dials; opener only.
        case connecting
        /// OPEN was sent; opener only.
        case opening
        /// The driver is asked for an ATTACH; opener only.
        case claiming
        /// ATTACH with this epoch was sent; opener only.
        case attaching(Epoch)
        /// May carry data; not before it is current does it.
        case joined
        case current
        /// Acceptor: the opener has moved to another link, but bytes may still come.
        case retiring
        /// LEAVE is on its way; closed when that has left.
        case leaving
    }

    /// How far a leaving link has come.
    enum Farewell: Sendable { case unsaid, said, ended }

    let number: LinkNumber
    /// Acceptor: the epoch of its ATTACH; 0 for the link of OPEN.
    let epoch: Epoch
    var state: State
    var decoder: FrameDecoder
    /// Unacknowledged positions that were sent on this link.
    var carried = PositionRanges()
    /// Complete handshake frames that wait to be sent.
    var handshake: [[UInt8]] = []
    /// The echo value of a PING that wants its PONG.
    var owedPong: UInt64?
    var wantsPing = false
    var abortSent = false
    /// Set as the link becomes current, until a frame has left on it. The opener's first frame tells the acceptor so;
    /// and either end's last acknowledgement may have left on a link that was dead already.
    var owesFrame = false
    /// Nothing more is sent behind the handshake frames: the last of them is GONE, or the peer has said LEAVE.
    var endsAfterHandshake = false
    var farewell = Farewell.unsaid
    var lastHeard: Instant
    var handshakeDeadline: Instant?
    var currentSince: Instant?
    var smoothedRTT: Interval?

    init(
        number: LinkNumber, epoch: Epoch = 0, state: State, decoder: FrameDecoder = FrameDecoder(), now: Instant
    ) {
        self.number = number
        self.epoch = epoch
        self.state = state
        self.decoder = decoder
        lastHeard = now
    }

    /// Both ends know the session on this link.
    var hasJoined: Bool {
        switch state {
        case .joined, .current: true
        case .connecting, .opening, .claiming, .attaching, .retiring, .leaving: false
        }
    }

    /// On its way out: its end is no failure.
    var isRetired: Bool {
        switch state {
        case .retiring, .leaving: true
        case .connecting, .opening, .claiming, .attaching, .joined, .current: false
        }
    }

    /// RFC 6298's estimator without its variance: one eighth of each new sample.
    mutating func sampleRTT(_ sample: Interval) {
        guard let old = smoothedRTT else {
            smoothedRTT = sample
            return
        }
        smoothedRTT = Interval(nanoseconds: old.nanoseconds - old.nanoseconds / 8 + sample.nanoseconds / 8)
    }
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
    /// Bytes were missing before those that came.
    case gap
    /// The peer's proof was wrong, or its epoch was not the one sent.
    case unproven
    /// The epoch was not new to the acceptor, which has told a newer one.
    case staleEpoch
    /// GONE from another gateway at the same address: not this session's business.
    case otherInstance
}
