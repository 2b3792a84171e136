import CLinux
import COpenSSL
import Kernel
import SystemPackage
import Testing

@testable import Transport

/// One identity and one context for each role, as a process has them.
struct TLSEnds {
    let client: TLSContext
    let server: TLSContext

    init() throws {
        client = try TLSContext(.client, identity: try Identity.generate())
        server = try TLSContext(.server, identity: try Identity.generate())
    }

    /// One end, whose other is no end of this kind.
    func connection(as role: TLSContext.Role, over socket: consuming TCPSocket) throws -> TLSConnection {
        switch role {
        case .client: try TLSConnection(client: client, socket, accepting: .any)
        case .server: try TLSConnection(server: server, socket, accepting: .any)
        }
    }
}

/// The two ends of a TLS connection over loopback.
struct TLSPair: ~Copyable {
    let client: TLSConnection
    let server: TLSConnection

    /// - Parameter buffer: bytes for each socket buffer; 0 leaves them as they are.
    init(
        _ ends: TLSEnds, clientAccepts: AcceptedKeys = .any, serverAccepts: AcceptedKeys = .any,
        resuming ticket: consuming SessionTicket? = nil, earlyData: [UInt8] = [], buffer: Int32 = 0
    ) throws {
        let sockets = try Connection()
        if buffer > 0 {
            try limitBuffers(of: sockets.dialled, to: buffer)
            try limitBuffers(of: sockets.accepted, to: buffer)
        }
        let client = try TLSConnection(
            client: ends.client, sockets.dialled, accepting: clientAccepts, resuming: ticket)
        if !earlyData.isEmpty, earlyData.count <= client.earlyDataLimit { client.sendEarly(earlyData) }
        let server = try TLSConnection(server: ends.server, sockets.accepted, accepting: serverAccepts)
        self.client = client
        self.server = server
    }

    /// Until neither end goes on.
    func shake() throws -> (client: HandshakeProgress, server: HandshakeProgress) {
        try finish { (client.handshake(), server.handshake()) }
    }

    /// Expects both handshakes to succeed.
    func open() throws {
        let (clientProgress, serverProgress) = try shake()
        try #require(clientProgress == .done)
        try #require(serverProgress == .done)
    }

    /// What the client has after a handshake and a first byte from the server, with which the ticket comes.
    func ticket() throws -> SessionTicket {
        try open()
        #expect(withSpans(["x"]) { server.write($0) } == .bytes(1))
        #expect(try received(by: client) == "x")
        return try unwrapped(client.takeTicket())
    }
}

struct Missing: Error {}

func unwrapped<Value: ~Copyable>(_ value: consuming Value?) throws -> Value {
    guard let value else { throw Missing() }
    return value
}

extension HandshakeProgress {
    var isFinal: Bool {
        switch self {
        case .done, .failed: true
        case .needsRead, .needsWrite: false
        }
    }
}

func limitBuffers(of socket: borrowing TCPSocket, to bytes: Int32) throws {
    try socket.setOption(SOL_SOCKET, SO_SNDBUF, bytes)
    try socket.setOption(SOL_SOCKET, SO_RCVBUF, bytes)
}

/// Repeats a step of both ends until both have come to an end.
func finish(
    _ step: () throws -> (HandshakeProgress, HandshakeProgress)
) throws -> (client: HandshakeProgress, server: HandshakeProgress) {
    let deadline = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < deadline {
        let progress = try step()
        if progress.0.isFinal, progress.1.isFinal { return progress }
        sched_yield()
    }
    throw TimedOut()
}

/// Reads once, after waiting for something to read.
func read(_ connection: borrowing TLSConnection, atMost count: Int = 1000) throws -> (TransferResult, [UInt8]) {
    var result = TransferResult.wouldBlock
    var bytes = [UInt8](repeating: 0, count: count)
    try eventually {
        result = bytes.withUnsafeMutableBytes { connection.read(into: $0) }
        return result != .wouldBlock
    }
    guard case .bytes(let count) = result else { return (result, []) }
    return (result, Array(bytes[..<count]))
}

func received(by connection: borrowing TLSConnection) throws -> String {
    String(decoding: try read(connection).1, as: UTF8.self)
}

/// An end that does what OpenSSL does, and is set up by the test.
final class ForeignEnd {
    private let context: OpaquePointer
    let ssl: OpaquePointer
    let socket: TCPSocket
    private(set) var reason: Int32 = 0

    init(
        _ method: OpaquePointer?, _ socket: consuming TCPSocket, _ identity: Identity? = nil,
        _ configure: (OpaquePointer) -> Void = { _ in }
    ) throws {
        context = try #require(SSL_CTX_new(method))
        if let identity {
            SSL_CTX_use_certificate(context, identity.certificate)
            SSL_CTX_use_PrivateKey(context, identity.key)
        }
        configure(context)
        ssl = try #require(SSL_new(context))
        SSL_set_fd(ssl, socket.number)
        self.socket = socket
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// One step; whether it has come to an end.
    func step() -> Bool {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return false
        default:
            reason = usl_error_reason(ERR_peek_error())
            return true
        }
    }
}

/// ALPN's list of one name.
func offer(_ name: String, _ context: OpaquePointer) {
    let list = [UInt8(name.utf8.count)] + Array(name.utf8)
    SSL_CTX_set_alpn_protos(context, list, UInt32(list.count))
}
