/// How far a TLS handshake has come.
public enum HandshakeProgress: Equatable, Sendable {
    /// It is over: data may be read and written.
    case done
    /// It goes on when something arrives.
    case needsRead
    /// It goes on when the socket has room.
    case needsWrite
    /// It is over for good.
    case failed(TLSFailure)
}
