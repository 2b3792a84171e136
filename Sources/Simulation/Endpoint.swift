import SessionProtocol

/// One end of the session with its driver and its application, as far as they have state.
final class Endpoint {
    /// A link as its driver holds it.
    struct LinkIO {
        var number: LinkNumber
        let connection: ConnectionID
        /// Frames that the connection has not taken yet.
        var output = ByteQueue()
        /// Nothing follows what is in ``output``.
        var isEnding = false
        var isShut = false
    }

    let role: Role
    let plan: Scenario.Application
    let startedAt: Instant
    let configuration: SessionConfiguration
    var session: Session
    var ledger = Ledger()
    /// Its process dies at its next step but so many.
    var fuse: Int?
    var key: ToyKey?
    var links: [LinkIO] = []
    /// Received bytes that the leg has not taken.
    var held = HeldBytes()
    var tickAt: Instant?
    /// How often it has woken in these ten seconds.
    var wakes = 0
    var wakesAt: UInt64 = 0
    var ending: Ending?
    var lingersUntil: Instant?

    // What the checks go by, counted here once more and not asked of the session.

    /// Bytes (and FIN) that the leg has taken.
    var legTaken: Position = 0
    /// The highest position that the peer was told that it may send below.
    var promised: Position = Wire.initialWindow
    var lastAcknowledged: Position = 0
    var lastEpochSent: Epoch = 0
    var linklessSince: Instant?
    /// Since when its process is there.
    var runsSince: Instant

    // The application.

    /// Bytes given to the session.
    var written: Position = 0
    var consumed: Position = 0
    /// Delivered bytes in the leg's buffer.
    var buffered = 0
    var hasFinished = false
    var hasAborted = false
    var abortedAt: Instant?
    /// The process has yet to read the end of its application's stream, or its reset.
    var hasUnseenFin = false
    var hasUnseenReset = false
    var finGiven = false
    var sawEOF = false
    /// The leg is to be reset behind what it has taken.
    var isReset = false
    var waitsForRoom = false
    var readIsScheduled = false

    init(
        role: Role, plan: Scenario.Application, _ configuration: SessionConfiguration, session: Session, _ now: Instant
    ) {
        self.role = role
        self.plan = plan
        self.configuration = configuration
        self.session = session
        startedAt = now
        runsSince = now
        linklessSince = now
    }

    func link(over connection: ConnectionID) -> Int? { links.firstIndex { $0.connection == connection } }
    func link(_ number: LinkNumber) -> Int? { links.firstIndex { $0.number == number } }

    /// Bytes that the leg has taken.
    var deliveredBytes: Position { legTaken - (finGiven ? 1 : 0) }
    /// The session and all that belongs to it are closed.
    var isDone: Bool { ending != nil && links.isEmpty }
    /// Its application does nothing any more, and awaits nothing.
    var applicationIsDone: Bool { hasAborted || isReset || (hasFinished && sawEOF) || ending != nil }
}
