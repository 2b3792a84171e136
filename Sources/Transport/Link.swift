public import CLinux
public import SystemPackage

/// How a link protects what it carries.
public enum LinkSecurity: String, Sendable {
    case plain
    case tls

    /// What the first byte of a link says of it: `U` begins USL's preface, 0x16 a TLS handshake record (RFC 8446, 5.1).
    /// Nil: neither, so that the peer speaks something else.
    public init?(firstByte: UInt8) {
        switch firstByte {
        case UInt8(ascii: "U"): self = .plain
        case 0x16: self = .tls
        default: return nil
        }
    }
}

/// The byte stream under the frames of one link: a TCP connection, or TLS over one. An enumeration and not a protocol, so that
/// reading and writing cost no dynamic dispatch.
public struct Link: ~Copyable, Sendable {
    private enum Carrier: ~Copyable, Sendable {
        case plain(TCPSocket)
        case tls(TLSConnection)
    }

    private let carrier: Carrier
    /// Why the link broke, once it has. The kernel reports a reset once, to a read or a write, and an end of file ever
    /// after, which would make a broken link look like one that its peer closed.
    private var failure: Errno?

    /// A link without protection over a connected socket.
    public init(plain socket: consuming TCPSocket) { carrier = .plain(socket) }

    /// A link over TLS. Its handshake comes first.
    public init(tls connection: consuming TLSConnection) { carrier = .tls(connection) }

    /// How the link protects what it carries.
    public var security: LinkSecurity {
        switch carrier {
        case .plain: .plain
        case .tls: .tls
        }
    }

    /// The descriptor to watch; valid while the link lives.
    public var number: Int32 {
        switch carrier {
        case .plain(let socket): socket.number
        case .tls(let connection): connection.number
        }
    }

    /// Whether the handshake is over, so that the link can be read from.
    public var isSecured: Bool {
        switch carrier {
        case .plain: true
        case .tls(let connection): connection.isSecured
        }
    }

    /// Behind the handshake: whether a ticket has spared it the certificates. Nil before, and on plain links.
    public var isResumed: Bool? {
        switch carrier {
        case .plain: nil
        case .tls(let connection): connection.isSecured ? connection.isResumed : nil
        }
    }

    /// Goes on with the handshake as far as it can. A plain link has none.
    public func handshake() -> HandshakeProgress {
        switch carrier {
        case .plain: .done
        case .tls(let connection): connection.handshake()
        }
    }

    /// Client, before the handshake: bytes that may go with its first flight, where anybody can record them and deliver them
    /// again. 0 on plain links.
    public var earlyDataLimit: Int {
        switch carrier {
        case .plain: 0
        case .tls(let connection): connection.earlyDataLimit
        }
    }

    /// Client: sends bytes with the first flight, at most ``earlyDataLimit``.
    public func sendEarly(_ bytes: [UInt8]) {
        switch carrier {
        case .plain: preconditionFailure("a plain link has no first flight")
        case .tls(let connection): connection.sendEarly(bytes)
        }
    }

    /// Client, behind the handshake: whether the server has read what was sent early. If not, it is to be sent now.
    public var earlyDataIsAccepted: Bool {
        switch carrier {
        case .plain: false
        case .tls(let connection): connection.earlyData == .accepted
        }
    }

    /// Server: what has come with the first flight since the last call. The answer to it may be written at once.
    public func takeEarlyData() -> [UInt8] {
        switch carrier {
        case .plain: []
        case .tls(let connection): connection.takeEarlyData()
        }
    }

    /// Reads once what has arrived, also after a write has failed: bytes that came before a reset are still there.
    public mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        let result =
            switch carrier {
            case .plain(let socket): socket.receive(into: buffer)
            case .tls(let connection): connection.read(into: buffer)
            }
        if result == .endOfStream, let failure { return .failed(failure) }
        return note(result)
    }

    /// Writes spans one after the other, as far as there is room for them; the bytes counted are no longer needed.
    ///
    /// After `wouldBlock` or a count below the whole, an event tells when there is room again.
    public mutating func write(_ spans: UnsafeBufferPointer<iovec>) -> TransferResult {
        if let failure { return .failed(failure) }
        let result =
            switch carrier {
            case .plain(let socket): socket.send(spans)
            case .tls(let connection): connection.write(spans)
            }
        return note(result)
    }

    /// Writes bytes that are few enough for an empty send buffer.
    ///
    /// - Returns: whether all of them were taken.
    public mutating func write(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            return withUnsafePointer(to: &vector) {
                write(UnsafeBufferPointer(start: $0, count: 1)) == .bytes(bytes.count)
            }
        }
    }

    /// Whether another read gives something of which no event will tell. Never so on plain links.
    public var hasBufferedInput: Bool {
        switch carrier {
        case .plain: false
        case .tls(let connection): connection.hasBufferedInput
        }
    }

    /// Whether bytes that were counted as written wait for room: call `write` or `flush` with the next event, also when there
    /// is nothing more to write, and before `shutdown`. Never so on plain links.
    public var hasBufferedOutput: Bool {
        switch carrier {
        case .plain: false
        case .tls(let connection): connection.hasBufferedOutput
        }
    }

    /// Sends what is buffered; nil once there is nothing left.
    public mutating func flush() -> TransferResult? {
        if let failure { return .failed(failure) }
        let result: TransferResult? =
            switch carrier {
            case .plain: nil
            case .tls(let connection): connection.flush()
            }
        return result.map { note($0) }
    }

    /// Says that nothing more will be written, and sends a FIN. Reading goes on.
    public func shutdown() throws(Errno) {
        switch carrier {
        case .plain(let socket): try socket.shutdownSending()
        case .tls(let connection): try connection.shutdown()
        }
    }

    /// Why TLS has failed, where a read or a write says `EPROTO`.
    public var tlsFailure: TLSFailure? {
        switch carrier {
        case .plain: nil
        case .tls(let connection): connection.failure
        }
    }

    /// Client: the newest ticket that has come, once.
    public func takeTicket() -> SessionTicket? {
        switch carrier {
        case .plain: nil
        case .tls(let connection): connection.takeTicket()
        }
    }

    /// The key of the other end; nil on plain links.
    public var peerFingerprint: Fingerprint? {
        switch carrier {
        case .plain: nil
        case .tls(let connection): connection.peerFingerprint
        }
    }

    /// Gives the socket away, for another kind of link over it.
    public consuming func intoSocket() -> TCPSocket {
        switch consume carrier {
        case .plain(let socket): socket
        case .tls(let connection): connection.intoSocket()
        }
    }

    /// The socket below, for its addresses, options and counters.
    public func withSocket<Result, Failure: Error>(
        _ body: (borrowing TCPSocket) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        switch carrier {
        case .plain(let socket): try body(socket)
        case .tls(let connection): try connection.withSocket(body)
        }
    }

    private mutating func note(_ result: TransferResult) -> TransferResult {
        if case .failed(let code) = result, failure == nil { failure = code }
        return result
    }
}
