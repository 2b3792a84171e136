import COpenSSL

/// A cryptographic operation that OpenSSL refused.
public struct CryptoError: Error, CustomStringConvertible, Sendable {
    /// What was attempted.
    public let operation: StaticString
    /// OpenSSL's own reason, where it gave one.
    public let reason: String?

    public var description: String { "\(operation) failed" + (reason.map { ": \($0)" } ?? "") }

    /// Takes the reason from OpenSSL's error queue of this thread, and empties it.
    init(_ operation: StaticString) {
        self.operation = operation
        let code = ERR_peek_last_error()
        reason = ERR_reason_error_string(code).map { String(cString: $0) }
        ERR_clear_error()
    }
}
