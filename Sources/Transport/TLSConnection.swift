public import CLinux
import Kernel
public import SystemPackage

/// Sole owner of a TCP connection under TLS 1.3.
///
/// `handshake` first, until it is done; then `read` (also if no event has come since: look at `hasBufferedInput`) and `write`,
/// which keep to the contract of `Link`: they never wait, and after `wouldBlock` an event of the descriptor tells when it is
/// worth another try.
public struct TLSConnection: ~Copyable, @unchecked Sendable {
    // Sendable although its stream is not: nobody else has that, and OpenSSL ties an SSL to no thread.

    /// What became of early data.
    public enum EarlyData: Equatable, Sendable {
        /// There was none. At a client that had some to send: the ticket did not allow it, so it is to be sent now.
        case none
        /// The server has read it.
        case accepted
        /// The server has not looked at it; the client sends it again, now.
        case refused
    }

    private let context: TLSContext
    let stream: TLSStream
    private let socket: TCPSocket

    /// The dialling end over a connected socket.
    ///
    /// - Parameters:
    ///   - accepted: which keys the server may have. With `any`, look at `peerFingerprint` before anything is sent or believed.
    ///   - ticket: to resume with. It is not used if its server's key is not accepted.
    public init(
        client context: TLSContext, _ socket: consuming TCPSocket, accepting accepted: AcceptedKeys,
        resuming ticket: consuming SessionTicket? = nil
    ) throws(CryptoError) {
        precondition(context.role == .client, "a server does not dial")
        let stream = try TLSStream(context, number: socket.number, accepting: accepted)
        if let ticket = Self.usable(ticket, accepted) { try stream.resume(ticket) }
        self.stream = stream
        self.context = context
        self.socket = socket
    }

    private static func usable(_ ticket: consuming SessionTicket?, _ accepted: AcceptedKeys) -> SessionTicket? {
        guard let ticket, ticket.isUsable, let fingerprint = ticket.fingerprint, accepted.contains(fingerprint) else {
            return nil
        }
        return ticket
    }

    /// The accepting end.
    ///
    /// - Parameter accepted: which keys the client may have, asked again when it resumes.
    public init(
        server context: TLSContext, _ socket: consuming TCPSocket, accepting accepted: AcceptedKeys
    ) throws(CryptoError) {
        precondition(context.role == .server, "a client does not accept")
        stream = try TLSStream(context, number: socket.number, accepting: accepted)
        self.context = context
        self.socket = socket
    }

    /// The descriptor to watch; valid while the connection lives.
    public var number: Int32 { socket.number }

    /// Client: bytes of early data that the ticket allows; 0 without one, and once the handshake has begun.
    public var earlyDataLimit: Int { stream.earlyDataLimit }

    /// Client, before the handshake: sends this with its first flight; `earlyData` tells what became of it. Anybody who records it
    /// can deliver it again, so it must be harmless then.
    ///
    /// - Parameter bytes: at most ``earlyDataLimit``.
    public func sendEarly(_ bytes: [UInt8]) { stream.sendEarly(bytes) }

    /// Goes on with the handshake as far as it can. A client is done before the server has looked at its key: that it is refused
    /// then shows in `read`, and in `failure`.
    public func handshake() -> HandshakeProgress { stream.handshake() }

    /// Whether the handshake is over.
    var isSecured: Bool { stream.isDone }

    /// Server: early data that has arrived since the last call, also before the handshake is done. It comes from somebody who
    /// has, or has recorded, a ticket of the key that `peerFingerprint` then tells; only with `done` is it certain that they
    /// are there now.
    public func takeEarlyData() -> [UInt8] { stream.takeEarlyData() }

    /// Whether `write` may be called: once the handshake is done, and at a server as soon as early data has arrived. The answer to
    /// early data then reaches the client with the server's part of the handshake, a round trip earlier; nobody but a holder of
    /// the ticket can read it.
    public var canWrite: Bool { stream.canWrite }

    /// What became of early data, once the handshake is done.
    public var earlyData: EarlyData { stream.earlyData }

    /// Reads what has arrived, until there is no more or the buffer is full, so that after a short read an event tells of what
    /// follows, unless `hasBufferedInput`.
    ///
    /// An end of stream is a close_notify or a FIN without one: the end of a link is never taken for the end of a session, so
    /// that nothing is gained by cutting one short.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        precondition(buffer.count > 0, "a read of nothing cannot be told from an end of file")
        return stream.read(into: buffer)
    }

    /// Whether another read gives something of which no event will tell: decrypted bytes, or an end that was read with others.
    public var hasBufferedInput: Bool { stream.hasBufferedInput }

    /// Writes spans one after the other, as far as the socket takes them; the bytes counted are no longer needed. Spans are
    /// brought together into records of 16 KiB, each one system call.
    ///
    /// The last record of those counted may have been encrypted and not sent (`hasBufferedOutput`): call `write` or `flush` with
    /// the next event.
    public func write(_ spans: UnsafeBufferPointer<iovec>) -> TransferResult { stream.write(spans) }

    /// Whether bytes that were counted as written wait for room in the socket.
    public var hasBufferedOutput: Bool { stream.hasHeldOutput }

    /// Sends what is buffered; nil once there is nothing left.
    public func flush() -> TransferResult? { stream.flush() }

    /// The key of the other end, as soon as it has been shown; also one that was refused. Proven once the handshake is done.
    public var peerFingerprint: Fingerprint? { stream.peerFingerprint }

    /// Whether a ticket was used.
    public var isResumed: Bool { stream.isResumed }

    /// Client: the newest ticket that has come, once. Tickets come with the first bytes that are read.
    public func takeTicket() -> SessionTicket? { stream.takeTicket() }

    /// Why the handshake, a read or a write failed, which those tell as `EPROTO` if it is no error of the socket.
    public var failure: TLSFailure? { stream.failure }

    /// Says that nothing more will be written, and ends with a FIN. What is buffered is to be flushed before. Reading goes on.
    public func shutdown() throws(Errno) {
        stream.close()
        try socket.shutdownSending()
    }

    /// Gives the socket away; TLS ends without a word.
    consuming func intoSocket() -> TCPSocket { socket }

    /// The socket below, for its addresses, options and counters.
    public func withSocket<Result, Failure: Error>(
        _ body: (borrowing TCPSocket) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(socket)
    }
}
