import COpenSSL

/// What a server gave a client to resume with (RFC 8446, 4.6.1): good for one connection, since an observer could otherwise tell
/// that two came from one client (C.4). Lives in memory alone, and is overwritten when it ends.
public struct SessionTicket: ~Copyable, @unchecked Sendable {
    // Sendable although it holds a pointer: the object does not change any more, and OpenSSL counts references to it
    // atomically.
    let session: OpaquePointer

    /// Takes over one reference.
    init(owning session: OpaquePointer) { self.session = session }

    deinit { SSL_SESSION_free(session) }

    /// Gives the reference away.
    consuming func release() -> OpaquePointer {
        let session = session
        discard self
        return session
    }

    /// The key of the server that gave it.
    public var fingerprint: Fingerprint? { SSL_SESSION_get0_peer(session).flatMap { Fingerprint(of: $0) } }

    /// Whether it is worth a try: a server that has ended the connection in anger does not want it back.
    var isUsable: Bool { SSL_SESSION_is_resumable(session) == 1 }

    /// Bytes of early data that the server will take.
    public var maximumEarlyData: Int { Int(SSL_SESSION_get_max_early_data(session)) }
}
