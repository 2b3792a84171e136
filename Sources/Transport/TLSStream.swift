import CLinux
import COpenSSL
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
    private var firstByte: UInt8?
    /// Set when a ClientHello had no ALPN.
    var lacksApplication = false
    /// Bytes of a record that OpenSSL has encrypted and the socket not taken whole. For the caller they are written.
    private var heldRecord = 0
    /// Where records are brought together if the kernel encrypts: it then has no copy of a record that is held.
    private var ownRecord: UnsafeMutableRawBufferPointer?
    var recordsUnderKey = 0
    /// How reading ended, once it has.
    private var ending: TransferResult?
    private(set) var failure: TLSFailure?
    /// Nothing has shown yet that OpenSSL holds no bytes.
    private var mayHoldInput = true
    /// The session whose ticket was given away last, for comparison only.
    private var lastSession: OpaquePointer?

    /// - Parameter early: what a client sends with its first flight; empty if nothing.
    init(_ context: TLSContext, number: Int32, accepting accepted: AcceptedKeys, early: [UInt8]) throws(CryptoError) {
        guard let ssl = SSL_new(context.handle) else { throw CryptoError("making a TLS connection") }
        self.ssl = ssl
        self.accepted = accepted
        switch context.role {
        case .client:
            SSL_set_connect_state(ssl)
            stage = early.isEmpty ? .shaking : .sendingEarly(early)
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

    func noteArrival(firstByte byte: UInt8) {
        if firstByte == nil { firstByte = byte }
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

    func handshake() -> HandshakeProgress {
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

    // MARK: - Data

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

    func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        precondition(isDone, "the handshake comes first")
        var total = 0
        while total < buffer.count, ending == nil {
            ERR_clear_error()
            var count = 0
            let result = SSL_read_ex(ssl, buffer.baseAddress.map { $0 + total }, buffer.count - total, &count)
            let code = usl_errno()
            if result == 1 {
                total += count
                continue
            }
            switch SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
                mayHoldInput = false
                return total > 0 ? .bytes(total) : .wouldBlock
            case SSL_ERROR_ZERO_RETURN: ending = .endOfStream
            case let error: ending = broken(reason(error, code))
            }
        }
        mayHoldInput = true
        return total > 0 ? .bytes(total) : ending ?? .wouldBlock
    }

    var hasBufferedInput: Bool { ending != nil || mayHoldInput && SSL_has_pending(ssl) == 1 }

    func write(_ spans: UnsafeBufferPointer<iovec>) -> TransferResult {
        precondition(canWrite, "the handshake comes first")
        if let result = flush() { return result }
        var source = SpanReader(spans)
        var total = 0
        while heldRecord == 0, let record = source.next(copyingTo: scratch, always: ownRecord != nil) {
            switch send(record) {
            case .bytes(let count): total += count
            case let result: return total > 0 ? .bytes(total) : result
            }
        }
        return .bytes(total)
    }

    var hasHeldOutput: Bool { heldRecord > 0 }

    /// Nil when nothing is held any more.
    func flush() -> TransferResult? {
        guard heldRecord > 0 else { return nil }
        // OpenSSL has the record encrypted, and looks at the length alone; the kernel has left it where it was.
        let record = UnsafeRawBufferPointer(start: scratch.baseAddress, count: heldRecord)
        heldRecord = 0
        switch send(record) {
        case .bytes: return heldRecord > 0 ? .wouldBlock : nil
        case let result: return result
        }
    }

    /// Gives OpenSSL one record, which it has then, sent or not.
    private func send(_ record: UnsafeRawBufferPointer) -> TransferResult {
        if recordsUnderKey >= Self.maximumRecordsUnderKey, ownRecord == nil {
            // Goes out before the next record.
            SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED)
            recordsUnderKey = 0
        }
        ERR_clear_error()
        var count = 0
        let result =
            isDone
            ? SSL_write_ex(ssl, record.baseAddress, record.count, &count)
            : SSL_write_early_data(ssl, record.baseAddress, record.count, &count)
        let code = usl_errno()
        if result == 1 {
            recordsUnderKey += 1
            return .bytes(count)
        }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
            heldRecord = record.count
            return .bytes(record.count)
        case let error: return broken(reason(error, code))
        }
    }

    private var scratch: UnsafeMutableRawBufferPointer {
        ownRecord ?? UnsafeMutableRawBufferPointer(start: usl_record_scratch(), count: Self.maximumRecord)
    }

    /// Sends close_notify, if nothing is held that would have to go before it.
    func close() {
        guard isDone, heldRecord == 0 else { return }
        ERR_clear_error()
        SSL_shutdown(ssl)
        ERR_clear_error()
    }

    // MARK: - Resumption

    var isResumed: Bool { SSL_session_reused(ssl) == 1 }

    var earlyData: TLSConnection.EarlyData {
        switch SSL_get_early_data_status(ssl) {
        case SSL_EARLY_DATA_ACCEPTED: .accepted
        case SSL_EARLY_DATA_REJECTED: .refused
        default: .none
        }
    }

    /// Before the handshake.
    func resume(_ ticket: borrowing SessionTicket) throws(CryptoError) {
        guard SSL_set_session(ssl, ticket.session) == 1 else { throw CryptoError("resuming a TLS session") }
    }

    func takeTicket() -> SessionTicket? {
        // Every ticket makes a session of its own, so that the newest one differs from the last.
        guard isDone, let session = SSL_get1_session(ssl) else { return nil }
        let ticket = SessionTicket(owning: session)
        guard session != lastSession, SSL_SESSION_is_resumable(session) == 1 else { return nil }
        lastSession = session
        return ticket
    }

    // MARK: - Failures

    private func broken(_ failure: TLSFailure) -> TransferResult {
        self.failure = failure
        if case .socket(let code) = failure { return .failed(code) }
        return .failed(.protocolError)
    }

    private func reason(_ error: Int32, _ code: Int32) -> TLSFailure {
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
        guard let firstByte, firstByte != UInt8(SSL3_RT_ALERT) else { return nil }
        return switch LinkSecurity(firstByte: firstByte) {
        case .plain: .plainPeer
        case .tls: nil
        case nil: .notTLS
        }
    }
}
