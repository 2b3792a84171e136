import COpenSSL
import Synchronization

/// Tickets of one server, from which every connection to it takes one. May be used from any thread.
public final class TicketStore: Sendable {
    /// Enough for the links of a busy agent that are all lost at once; who finds none makes a whole handshake.
    private static let capacity = 256

    /// The sessions of the tickets, each with a reference of its own. The newest is the last.
    private let sessions = Mutex<[Session]>([])

    private struct Session: @unchecked Sendable {
        // Sendable as `SessionTicket` is: only the store has it.
        let pointer: OpaquePointer
    }

    public init() {}

    deinit {
        sessions.withLock { for session in $0 { SSL_SESSION_free(session.pointer) } }
    }

    /// Keeps a ticket; the oldest makes room.
    public func add(_ ticket: consuming SessionTicket) {
        let added = Session(pointer: ticket.release())
        sessions.withLock { sessions in
            if sessions.count == Self.capacity { SSL_SESSION_free(sessions.removeFirst().pointer) }
            sessions.append(added)
        }
    }

    /// The newest ticket; nil if there is none.
    public func take() -> SessionTicket? {
        sessions.withLock { $0.popLast() }.map { SessionTicket(owning: $0.pointer) }
    }
}
