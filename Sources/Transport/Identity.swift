import COpenSSL

/// The key by which others know this end, with a certificate of its own making around it, since TLS wants one.
///
/// The key is on P-256 (RFC 8446, 9.1 makes every implementation know it): with OpenSSL 3.0 on the machine this was written
/// on, a signature and its verification took 20 + 62 µs, and 36 + 103 µs with Ed25519 (`openssl speed ecdsap256 ed25519`).
public final class Identity: @unchecked Sendable {
    // Sendable although it holds pointers: neither object changes after `init`, and OpenSSL counts references to them
    // atomically.
    let key: OpaquePointer
    let certificate: OpaquePointer
    /// What others know this end by.
    public let fingerprint: Fingerprint

    /// Takes over both.
    private init(key: OpaquePointer, certificate: OpaquePointer, fingerprint: Fingerprint) {
        self.key = key
        self.certificate = certificate
        self.fingerprint = fingerprint
    }

    deinit {
        // Overwrites the private key (EVP_PKEY_free(3)).
        EVP_PKEY_free(key)
        X509_free(certificate)
    }

    /// A new key.
    public static func generate() throws(CryptoError) -> Identity {
        guard let key = usl_p256_key() else { throw CryptoError("making a P-256 key") }
        guard let certificate = Self.certificate(for: key) else {
            EVP_PKEY_free(key)
            throw CryptoError("making a certificate")
        }
        return try taking(key, certificate)
    }

    /// Reads what `pem` writes: a private key and its certificate.
    public convenience init(pem: UnsafeRawBufferPointer) throws(CryptoError) {
        guard let key = Self.read(pem, { PEM_read_bio_PrivateKey($0, nil, refusePassphrase, nil) }) else {
            throw CryptoError("reading a private key")
        }
        guard let certificate = Self.read(pem, { PEM_read_bio_X509($0, nil, refusePassphrase, nil) }) else {
            EVP_PKEY_free(key)
            throw CryptoError("reading a certificate")
        }
        guard X509_check_private_key(certificate, key) == 1, let fingerprint = Fingerprint(of: certificate) else {
            EVP_PKEY_free(key)
            X509_free(certificate)
            throw CryptoError("matching a certificate with its key")
        }
        self.init(key: key, certificate: certificate, fingerprint: fingerprint)
    }

    /// Private key (PKCS #8) and certificate as PEM (RFC 7468), for a file.
    public func pem() throws(CryptoError) -> SecretBytes {
        // This kind of memory is overwritten when it is freed (BIO_s_mem(3)).
        guard let text = BIO_new(BIO_s_secmem()) else { throw CryptoError("writing a private key") }
        defer { BIO_free(text) }
        guard PEM_write_bio_PKCS8PrivateKey(text, key, nil, nil, 0, nil, nil) == 1,
            PEM_write_bio_X509(text, certificate) == 1
        else { throw CryptoError("writing a private key") }
        var start: UnsafeMutablePointer<CChar>?
        let count = usl_bio_memory(text, &start)
        return SecretBytes(count: count) { $0.copyMemory(from: UnsafeRawBufferPointer(start: start, count: count)) }
    }

    private static func taking(_ key: OpaquePointer, _ certificate: OpaquePointer) throws(CryptoError) -> Identity {
        guard let fingerprint = Fingerprint(of: certificate) else {
            EVP_PKEY_free(key)
            X509_free(certificate)
            throw CryptoError("taking a fingerprint")
        }
        return Identity(key: key, certificate: certificate, fingerprint: fingerprint)
    }

    private static func read(
        _ pem: UnsafeRawBufferPointer, _ body: (OpaquePointer) -> OpaquePointer?
    ) -> OpaquePointer? {
        guard let text = BIO_new_mem_buf(pem.baseAddress, Int32(clamping: pem.count)) else { return nil }
        defer { BIO_free(text) }
        return body(text)
    }

    /// Only the key in it counts. So it is the same for everybody as far as it can be, and never expires: RFC 5280, 4.1.2.5
    /// has this date for certificates without an end.
    private static func certificate(for key: OpaquePointer) -> OpaquePointer? {
        guard let certificate = X509_new() else { return nil }
        let name = X509_get_subject_name(certificate)
        let isMade =
            X509_set_version(certificate, Int(X509_VERSION_3)) == 1
            && ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1
            && ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate), "19700101000000Z") == 1
            && ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), "99991231235959Z") == 1
            && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, "usl", -1, -1, 0) == 1
            && X509_set_issuer_name(certificate, name) == 1
            && X509_set_pubkey(certificate, key) == 1
            && X509_sign(certificate, key, EVP_sha256()) > 0
        if isMade { return certificate }
        X509_free(certificate)
        return nil
    }
}

/// OpenSSL would ask on the terminal for the passphrase of an encrypted key.
private func refusePassphrase(
    _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _ isWriting: Int32, _ context: UnsafeMutableRawPointer?
) -> Int32 { -1 }
