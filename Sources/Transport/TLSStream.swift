import CLinux
import COpenSSL
import SessionProtocol
import SystemPackage

/// Drives one `SSL` object: the part of a `TLSConnection` that changes. Only its connection has it.
final class TLSStream {
    private enum Stage {
        /// Client: the first flight has not left; it ends with early data.
        case sendingEarly([UInt8])
        /// Server: the client's first flight is awaited, and what early data comes with it.
        case receivingEarly
        case shaking
        case done
        case failed(TLSFailure)
    }

    /// Payload limit of a record (RFC 8446, 5.1).
    static let maximumRecord = 16 * 1024
    /// Records under one key of AES-GCM at most, of 2^24.5 (RFC 8446, 5.5).
    static let maximumRecordsUnderKey = 1 << 24

    let ssl: OpaquePointer
    private let accepted: AcceptedKeys
    private var stage: Stage
    /// Early data that has arrived (server) and not been taken.
    private var arrivedEarly: [UInt8] = []
    private var hasReadEarly = false
    /// The key of the peer, refused or not.
    private(set) var peerFingerprint: Fingerprint?
    private var refused: Fingerprint?
    /// The first bytes of the peer, as many as a preface has.
    private var opening: [UInt8] = []
    /// Set when a ClientHello had no ALPN.
    var lacksApplication = false
    /// Bytes of a record that OpenSSL has encrypted and the socket not taken whole. For the caller they are written.
    var heldRecord = 0
    /// Where records are brought together if the kernel encrypts: it then has no copy of a record that is held.
    var ownRecord: UnsafeMutableRawBufferPointer?
    var recordsUnderKey = 0
    /// Another record follows at once: the kernel need not send what fills no packet (`MSG_MORE`).
    var isWritingMore = false
    /// How reading ended, once it has.
    var ending: TransferResult?
    private(set) var failure: TLSFailure?
    /// What a ticket allows, until the handshake begins.
    var earlyDataLimit = 0
    /// Nothing has shown yet that OpenSSL holds no bytes.
    var mayHoldInput = true
    /// The session whose ticket was given away last, for comparison only.
    var lastSession: OpaquePointer?

    init(_ context: TLSContext, number: Int32, accepting accepted: AcceptedKeys) throws(CryptoError) {
        guard let ssl = SSL_new(context.handle) else { throw CryptoError("making a TLS connection") }
        self.ssl = ssl
        self.accepted = accepted
        switch context.role {
        case .client:
            SSL_set_connect_state(ssl)
            stage = .shaking
        case .server:
            SSL_set_accept_state(ssl)
            stage = .receivingEarly
        }
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        let bio = try context.method.open(number, for: self)
        SSL_set_bio(ssl, bio, bio)
    }

    deinit {
        // The ticket of a link that broke is good, but OpenSSL would spoil it as if the end were an attack (SSL_free(3)).
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(ssl)
        ownRecord?.deallocate()
    }

    static func of(_ ssl: OpaquePointer) -> TLSStream? {
        SSL_get_ex_data(ssl, 0).map { Unmanaged<TLSStream>.fromOpaque($0).takeUnretainedValue() }
    }

    func noteArrival(_ bytes: UnsafeRawBufferPointer) {
        if opening.count < Wire.preface.count { opening += bytes.prefix(Wire.preface.count - opening.count) }
    }

    /// Whether the peer may have this key.
    func accepts(_ certificate: OpaquePointer) -> Bool {
        guard let fingerprint = Fingerprint(of: certificate) else { return false }
        peerFingerprint = fingerprint
        if accepted.contains(fingerprint) { return true }
        refused = fingerprint
        return false
    }

    // MARK: - Handshake

    /// See `TLSConnection.sendEarly`.
    func sendEarly(_ bytes: [UInt8]) {
        precondition(!bytes.isEmpty && bytes.count <= earlyDataLimit, "a ticket allows so much and no more")
        stage = .sendingEarly(bytes)
    }

    func handshake() -> HandshakeProgress {
        earlyDataLimit = 0
        switch flush() {
        case .failed: return fail(failure ?? .closed)
        case .wouldBlock: return .needsWrite
        case .bytes, .endOfStream, nil: break
        }
        while true {
            ERR_clear_error()
            let result: Int32
            switch stage {
            case .done: return .done
            case .failed(let failure): return .failed(failure)
            case .sendingEarly(let bytes):
                var written = 0
                result = SSL_write_early_data(ssl, bytes, bytes.count, &written)
                if result == 1 {
                    stage = .shaking
                    continue
                }
            case .receivingEarly:
                switch receiveEarly() {
                case SSL_READ_EARLY_DATA_SUCCESS:
                    guard checkResumed() else { return fail(refusal) }
                    continue
                case SSL_READ_EARLY_DATA_FINISH:
                    stage = .shaking
                    continue
                default: result = 0
                }
            case .shaking:
                result = SSL_do_handshake(ssl)
                if result == 1 { return finish() }
            }
            let code = usl_errno()
            if BIO_number_read(SSL_get_rbio(ssl)) > TLSContext.maximumHandshake {
                return fail(.other("the handshake is longer than \(TLSContext.maximumHandshake) bytes"))
            }
            switch SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ: return .needsRead
            case SSL_ERROR_WANT_WRITE: return .needsWrite
            case let error: return fail(reason(error, code))
            }
        }
    }

    private func receiveEarly() -> Int32 {
        var count = 0
        var bytes = [UInt8](repeating: 0, count: TLSContext.maximumEarlyData)
        let result = SSL_read_early_data(ssl, &bytes, bytes.count, &count)
        arrivedEarly += bytes[..<count]
        if result == SSL_READ_EARLY_DATA_SUCCESS { hasReadEarly = true }
        return result
    }

    private func finish() -> HandshakeProgress {
        guard checkResumed() else { return fail(refusal) }
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &name, &count)
        guard UnsafeBufferPointer(start: name, count: Int(count)).elementsEqual(TLSContext.application) else {
            return fail(.application)
        }
        if usl_bio_kernel_sends(SSL_get_wbio(ssl)) != 0 {
            ownRecord = .allocate(byteCount: Self.maximumRecord, alignment: 16)
        }
        stage = .done
        return .done
    }

    /// Nobody asks about a key that a resumed session has brought along, and what is accepted may have changed.
    private func checkResumed() -> Bool {
        if peerFingerprint != nil { return refused == nil }
        guard let certificate = SSL_get0_peer_certificate(ssl) else { return false }
        return accepts(certificate)
    }

    private var refusal: TLSFailure { refused.map { .keyRefused($0) } ?? .noCertificate }

    private func fail(_ failure: TLSFailure) -> HandshakeProgress {
        stage = .failed(failure)
        arrivedEarly = []
        self.failure = failure
        return .failed(failure)
    }

    // MARK: - State

    var isDone: Bool {
        if case .done = stage { true } else { false }
    }

    /// A server's keys for data are there as soon as it has read early data (RFC 8446, 2.3).
    var canWrite: Bool {
        switch stage {
        case .done: true
        case .receivingEarly, .shaking: hasReadEarly
        case .sendingEarly, .failed: false
        }
    }

    /// See `TLSConnection.takeEarlyData`.
    func takeEarlyData() -> [UInt8] {
        defer { arrivedEarly = [] }
        return arrivedEarly
    }

    // MARK: - Failures

    func broken(_ failure: TLSFailure) -> TransferResult {
        self.failure = failure
        if case .socket(let code) = failure { return .failed(code) }
        return .failed(.protocolError)
    }

    func reason(_ error: Int32, _ code: Int32) -> TLSFailure {
        defer { ERR_clear_error() }
        if let foreign { return foreign }
        return switch error {
        case SSL_ERROR_ZERO_RETURN: .closed
        case SSL_ERROR_SYSCALL: code == 0 ? .closed : .socket(Errno(rawValue: code))
        default: lacksApplication ? .application : TLSFailure(errorQueueRefusing: refused)
        }
    }

    /// What the peer speaks, if it is not TLS.
    private var foreign: TLSFailure? {
        guard let first = opening.first, first != UInt8(SSL3_RT_ALERT) else { return nil }
        return switch LinkSecurity(firstByte: first) {
        case .plain where Wire.preface.starts(with: opening): .plainPeer
        case .tls: nil
        case .plain, nil: .notTLS
        }
    }
}
