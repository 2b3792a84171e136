import CLinux
import COpenSSL
import Kernel
import SessionProtocol
import SystemPackage

/// What all TLS connections of one role and one identity have in common: TLS 1.3 and nothing older, ALPN `usl/1`, keys at both
/// ends, and at a server the keys of its tickets.
///
/// The other end is known by its key alone. TLS proves that it has the key; names, dates and chains of certificates say nothing
/// here and are not looked at.
public final class TLSContext: @unchecked Sendable {
    // Sendable although it holds a pointer: nothing is set after `init`, and OpenSSL lets several threads make connections
    // of one SSL_CTX (openssl-threads(7)).
    public enum Role: Sendable {
        /// Dials.
        case client
        /// Accepts.
        case server
    }

    /// The protocol's name in ALPN (docs/protocol.md, 9).
    static let application = Array("usl/1".utf8)
    /// Early data that a server takes: preface, header, and the largest frame of a handshake.
    public static let maximumEarlyData = Wire.preface.count + Wire.headerLength + Wire.maximumControl
    /// Bytes that an end reads at most before its handshake is over, whatever they are: the certificate of a peer, twice the
    /// largest early data, and what that takes in records.
    static let maximumHandshake = 64 * 1024
    /// Of a peer's certificate message.
    private static let maximumCertificates = 16 * 1024
    /// How long a ticket may be used, in seconds: as long as a session may be suspended if nothing else is said.
    private static let ticketLifetime = 24 * 60 * 60

    public let role: Role
    public let identity: Identity
    let handle: OpaquePointer
    let method: SocketMethod
    let ticketKeys: TicketKeys

    public init(_ role: Role, identity: Identity) throws(CryptoError) {
        self.role = role
        self.identity = identity
        method = try SocketMethod()
        ticketKeys = try TicketKeys()
        let model =
            switch role {
            case .client: TLS_client_method()
            case .server: TLS_server_method()
            }
        guard let handle = SSL_CTX_new(model) else { throw CryptoError("making a TLS context") }
        self.handle = handle
        try configure()
        switch role {
        case .client: try configureClient()
        case .server: try configureServer()
        }
    }

    deinit { SSL_CTX_free(handle) }

    /// Makes a new key for tickets. Those under the key before stay good until the next call, so calling it every 24 h, which is
    /// how long a ticket lives, costs nobody a ticket.
    public func rotateTicketKey() throws(CryptoError) { try ticketKeys.rotate() }

    /// Whether the kernel can encrypt what is sent (kTLS); OpenSSL lets it then.
    public static var kernelOffersTLS: Bool {
        guard let socket = try? TCPSocket(family: AF_INET) else { return false }
        let name = "tls"
        // Without a connection the protocol is refused as well, but with ENOTCONN: it is there (tls_init in the kernel).
        return setsockopt(socket.number, Int32(IPPROTO_TCP), TCP_ULP, name, socklen_t(name.utf8.count)) == 0
            || usl_errno() == ENOTCONN
    }

    private func configure() throws(CryptoError) {
        var options =
            usl_ssl_op_no_compression() | usl_ssl_op_no_renegotiation()
            // A bare FIN counts as an end like close_notify: the end of a link is never the end of a session, so cutting a
            // link short gains an attacker nothing that dropping its packets would not.
            | usl_ssl_op_ignore_unexpected_eof()
        if Self.kernelOffersTLS { options |= usl_ssl_op_enable_ktls() }
        SSL_CTX_set_options(handle, options)
        let mode =
            SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
        SSL_CTX_ctrl(handle, SSL_CTRL_MODE, Int(mode), nil)
        // One read(2) a record instead of two.
        SSL_CTX_ctrl(handle, SSL_CTRL_SET_READ_AHEAD, 1, nil)
        SSL_CTX_ctrl(handle, SSL_CTRL_SET_MAX_CERT_LIST, Self.maximumCertificates, nil)
        SSL_CTX_set_timeout(handle, Self.ticketLifetime)
        // What TLSStream finds by its context.
        SSL_CTX_set_ex_data(handle, 0, Unmanaged.passUnretained(self).toOpaque())
        SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        SSL_CTX_set_cert_verify_callback(handle, verifyPeer, nil)
        let isMade =
            SSL_CTX_ctrl(handle, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_3_VERSION), nil) == 1
            && SSL_CTX_ctrl(handle, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_3_VERSION), nil) == 1
            // The one that every implementation has (RFC 8446, 9.1) is the quickest too.
            && SSL_CTX_set_ciphersuites(
                handle, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") == 1
            // Not RSA, whose keys a peer could make as expensive to verify as it likes.
            && usl_ssl_ctx_set_signatures(handle, "ecdsa_secp256r1_sha256:ed25519") == 1
            && SSL_CTX_use_certificate(handle, identity.certificate) == 1
            && SSL_CTX_use_PrivateKey(handle, identity.key) == 1
        guard isMade else { throw CryptoError("configuring TLS") }
    }

    private func configureClient() throws(CryptoError) {
        // Tickets are the caller's.
        SSL_CTX_ctrl(handle, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
        let list = [UInt8(Self.application.count)] + Self.application
        guard SSL_CTX_set_alpn_protos(handle, list, UInt32(list.count)) == 0 else {
            throw CryptoError("configuring TLS")
        }
    }

    private func configureServer() throws(CryptoError) {
        // All of a session is in its ticket, so that clients cost no memory.
        SSL_CTX_ctrl(handle, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
        // Nor is there a list of tickets seen: early data may come twice, or from somebody who has recorded it. It is an ATTACH,
        // of which the core accepts each epoch once and which only lets a link join: the link carries nothing until its
        // opener's next frame, which comes behind Finished (docs/protocol.md, 9, 10).
        SSL_CTX_set_options(handle, usl_ssl_op_no_anti_replay())
        SSL_CTX_set_client_hello_cb(handle, demandApplication, nil)
        SSL_CTX_set_alpn_select_cb(handle, selectApplication, nil)
        let isMade =
            SSL_CTX_set_tlsext_ticket_key_evp_cb(handle, ticketKey) == 1
            && SSL_CTX_set_session_id_context(handle, Self.application, UInt32(Self.application.count)) == 1
            // A client that uses its ticket gets another with that.
            && SSL_CTX_set_num_tickets(handle, 1) == 1
            && SSL_CTX_set_max_early_data(handle, UInt32(Self.maximumEarlyData)) == 1
            && SSL_CTX_set_recv_max_early_data(handle, UInt32(Self.maximumEarlyData)) == 1
        guard isMade else { throw CryptoError("configuring TLS") }
    }
}

// MARK: - What OpenSSL asks

/// The whole verification of a peer's certificate.
private func verifyPeer(_ store: OpaquePointer?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
        let certificate = X509_STORE_CTX_get0_cert(store), let stream = TLSStream.of(OpaquePointer(ssl))
    else { return 0 }
    if stream.accepts(certificate) { return 1 }
    // Becomes the alert bad_certificate.
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
    return 0
}

/// Refuses a client that does not say what it wants to speak: OpenSSL would do without.
private func demandApplication(
    _ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    var bytes: UnsafePointer<UInt8>?
    var count = 0
    let type = UInt32(TLSEXT_TYPE_application_layer_protocol_negotiation)
    if SSL_client_hello_get0_ext(ssl, type, &bytes, &count) == 1 { return SSL_CLIENT_HELLO_SUCCESS }
    // A client of an older version is told that rather.
    let isOld = SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_supported_versions), &bytes, &count) != 1
    if isOld { return SSL_CLIENT_HELLO_SUCCESS }
    ssl.flatMap { TLSStream.of($0) }?.lacksApplication = true
    alert?.pointee = SSL_AD_NO_APPLICATION_PROTOCOL
    return SSL_CLIENT_HELLO_ERROR
}

private func selectApplication(
    _ ssl: OpaquePointer?, _ selected: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ selectedCount: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ offeredCount: UInt32,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    // Names behind their lengths (RFC 7301, 3.1), which OpenSSL has checked.
    var rest = UnsafeBufferPointer(start: offered, count: Int(offeredCount))[...]
    while let length = rest.popFirst(), rest.count >= Int(length) {
        let name = rest.prefix(Int(length))
        if name.elementsEqual(TLSContext.application) {
            selected?.pointee = UnsafeBufferPointer(rebasing: name).baseAddress
            selectedCount?.pointee = length
            return SSL_TLSEXT_ERR_OK
        }
        rest = rest.dropFirst(Int(length))
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}

/// Of SSL_CTX_set_tlsext_ticket_key_evp_cb(3).
private func ticketKey(
    _ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?, _ vector: UnsafeMutablePointer<UInt8>?,
    _ cipher: OpaquePointer?, _ code: OpaquePointer?, _ isSealing: Int32
) -> Int32 {
    guard let pointer = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0), let name, let vector, let cipher, let code else {
        return -1
    }
    let keys = Unmanaged<TLSContext>.fromOpaque(pointer).takeUnretainedValue().ticketKeys
    if isSealing == 1 { return keys.seal(name: name, vector: vector, cipher, code) ? 1 : -1 }
    switch keys.open(name: name, vector: vector, cipher, code) {
    case nil: return 0
    case false?: return -1
    // Good, and to be replaced by another.
    case true?: return 2
    }
}
