import DequeModule
import Kernel
import SessionHost
import SessionProtocol

/// Every session identifier that this gateway knows, and what it knows of it.
struct SessionRegistry {
    /// Sessions that are over, kept so that an opener that lost its link at the end can be told (rule 7). An opener that
    /// comes later still hears that the session is unknown, which is no loss for one whose both directions are done.
    static let maximumTombstones = 65_536

    enum Entry {
        /// Connecting to the target.
        case pending(PendingSession)
        case live(LiveSession)
        case over(GoneMessage)
    }

    struct LiveSession {
        let keyShare: [UInt8]
        let answer: OpenedAnswer
        let place: LoopPool.Place
    }

    /// The answer to OPEN, for openers that ask again.
    enum OpenedAnswer {
        case sealed([UInt8])
        /// Of a session of a dead predecessor. What it has answered comes out again, byte for byte, when the same OPEN is
        /// answered with the same words.
        case unsealed(OpenedMessage)
    }

    private var entries: [SessionID: Entry] = [:]
    private var tombstones: Deque<SessionID> = []
    private(set) var liveCount = 0

    /// Whether openers may come to hear the end of a session.
    var remembersEnded: Bool { !tombstones.isEmpty }

    subscript(id: SessionID) -> Entry? { entries[id] }

    mutating func add(_ pending: PendingSession) { entries[pending.open.session] = .pending(pending) }

    mutating func open(_ id: SessionID, _ live: LiveSession) {
        entries[id] = .live(live)
        liveCount += 1
    }

    mutating func forget(_ id: SessionID) { entries[id] = nil }

    mutating func bury(_ id: SessionID, _ epitaph: GoneMessage) {
        if case .live = entries[id] { liveCount -= 1 }
        entries[id] = .over(epitaph)
        tombstones.append(id)
        if tombstones.count > SessionRegistry.maximumTombstones { entries[tombstones.removeFirst()] = nil }
    }
}

/// A session whose target has not answered yet.
final class PendingSession {
    let open: OpenMessage
    let frame: [UInt8]
    /// Where the first OPEN came from.
    let remote: SocketAddress
    /// What `--authorized` calls who asks for it.
    private let client: String?
    /// The connection of the first OPEN: link 0, unless it dies meanwhile.
    var first: Greeting?
    /// Connections that have repeated the OPEN. They attach once it is answered.
    var others: [Greeting] = []

    init(_ open: OpenMessage, frame: [UInt8], first: Greeting, client: String?) {
        self.open = open
        self.frame = frame
        self.first = first
        self.client = client
        remote = first.remote
    }

    /// A line for the log, with the name of who asks.
    func line(_ text: String) -> String { client.map { "\(text) (asked for by \($0))" } ?? text }

    var all: [Greeting] { others + (first.map { [$0] } ?? []) }
}
