import CLinux
import COpenSSL
import SystemPackage

extension TLSStream {
    // MARK: - Data

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
            isWritingMore = !source.isAtEnd
            defer { isWritingMore = false }
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
        earlyDataLimit = ticket.maximumEarlyData
    }

    func takeTicket() -> SessionTicket? {
        // Every ticket makes a session of its own, so that the newest one differs from the last.
        guard isDone, let session = SSL_get1_session(ssl) else { return nil }
        let ticket = SessionTicket(owning: session)
        guard session != lastSession, SSL_SESSION_is_resumable(session) == 1 else { return nil }
        lastSession = session
        return ticket
    }
}
