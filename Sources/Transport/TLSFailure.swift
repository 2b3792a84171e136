import COpenSSL
public import SystemPackage

/// Why a link over TLS did not come about, or broke.
public enum TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The other end speaks USL without TLS.
    case plainPeer
    /// The other end speaks something else.
    case notTLS
    /// No version of TLS in common: there is only 1.3.
    case version
    /// The other end speaks TLS 1.3, but not for USL (ALPN, RFC 7301).
    case application
    /// The other end has shown no key.
    case noCertificate
    /// The other end has shown a key that is not accepted here.
    case keyRefused(Fingerprint)
    /// The other end does not accept the key of this one.
    case refusedByPeer
    /// The other end closed the connection before the handshake was over.
    case closed
    /// The connection below broke.
    case socket(Errno)
    /// Anything else, in OpenSSL's words.
    case other(String)

    public var description: String {
        switch self {
        case .plainPeer: "the other end speaks plain links; give --plain at both ends or at neither"
        case .notTLS: "the other end does not speak TLS, nor USL"
        case .version: "the other end does not speak TLS 1.3"
        case .application: "the other end speaks TLS, but not for USL"
        case .noCertificate: "the other end has shown no key"
        case .keyRefused(let fingerprint): "the key of the other end, \(fingerprint), is not accepted here"
        case .refusedByPeer: "the other end does not accept the key of this one; `usl identity` shows it"
        case .closed: "the other end closed the connection during the TLS handshake"
        case .socket(let code): "\(code)"
        case .other(let text): "TLS: \(text)"
        }
    }

    /// What OpenSSL's error queue of this thread says; empties it.
    ///
    /// - Parameter refused: the key that was refused here, if one was.
    init(errorQueueRefusing refused: Fingerprint?) {
        let code = ERR_peek_error()
        defer { ERR_clear_error() }
        switch usl_error_reason(code) {
        case SSL_R_CERTIFICATE_VERIFY_FAILED where refused != nil: self = refused.map { .keyRefused($0) } ?? .closed
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_WRONG_SSL_VERSION, SSL_R_VERSION_TOO_LOW, SSL_R_WRONG_VERSION_NUMBER,
            SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
            self = .version
        case SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: self = .application
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: self = .noCertificate
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
            SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
            SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, SSL_R_TLSV1_ALERT_UNKNOWN_CA, SSL_R_TLSV1_ALERT_ACCESS_DENIED,
            SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            self = .refusedByPeer
        default: self = .other(ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)")
        }
    }
}
