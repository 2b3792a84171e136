import COpenSSL
public import SessionProtocol

/// One end's X25519 key pair (RFC 7748), made for one session.
public struct KeyAgreement: ~Copyable {
    /// Bytes of a key share.
    public static let shareLength = 32

    /// The public half, for OPEN or OPENED.
    public let share: [UInt8]
    private let pair: OpaquePointer

    /// A new pair.
    public static func generate() throws(CryptoError) -> KeyAgreement {
        let privateKey = try SecretBytes(count: Self.shareLength) { (bytes) throws(CryptoError) in
            try Randomness.fill(bytes, isSecret: true)
        }
        return try KeyAgreement(privateKey: privateKey)
    }

    /// The pair that belongs to a private key, of which the curve uses 255 bits less the lowest three (RFC 7748, 5).
    init(privateKey: borrowing SecretBytes) throws(CryptoError) {
        let pair = privateKey.withBytes {
            EVP_PKEY_new_raw_private_key_ex(nil, "X25519", nil, $0.baseAddress, $0.count)
        }
        guard let pair else { throw CryptoError("making an X25519 key") }
        var share = [UInt8](repeating: 0, count: Self.shareLength)
        var length = share.count
        guard EVP_PKEY_get_raw_public_key(pair, &share, &length) == 1 else {
            EVP_PKEY_free(pair)
            throw CryptoError("making an X25519 share")
        }
        self.pair = pair
        self.share = share
    }

    deinit { EVP_PKEY_free(pair) }

    /// The key that both ends of a session derive for its resumption, bound to the session and to both shares.
    ///
    /// - Parameters:
    ///   - role: which end this is.
    ///   - peerShare: from a peer; any bytes.
    /// - Throws: also when the peer's share lies in a small subgroup, so that anybody could know the secret.
    public func resumeKey(
        as role: Role, of session: SessionID, with peerShare: [UInt8]
    ) throws(CryptoError) -> ResumeKey {
        let secret = try sharedSecret(with: peerShare)
        let salt = bigEndianBytes(session.high) + bigEndianBytes(session.low)
        let shares =
            switch role {
            case .opener: share + peerShare
            case .acceptor: peerShare + share
            }
        return ResumeKey(
            secret: try HMACSHA256.expanded(secret, salt: salt, info: ResumeKey.label + shares, count: ResumeKey.length)
        )
    }

    /// The raw result of X25519, 32 bytes.
    func sharedSecret(with peerShare: [UInt8]) throws(CryptoError) -> SecretBytes {
        guard peerShare.count == Self.shareLength,
            let peer = EVP_PKEY_new_raw_public_key_ex(nil, "X25519", nil, peerShare, peerShare.count)
        else { throw CryptoError("reading an X25519 share") }
        defer { EVP_PKEY_free(peer) }
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, pair, nil) else { throw CryptoError("X25519") }
        defer { EVP_PKEY_CTX_free(context) }
        return try SecretBytes(count: Self.shareLength) { (secret) throws(CryptoError) in
            var length = secret.count
            // OpenSSL refuses an all-zero result by itself, as RFC 7748, 6.1 allows; USL requires it, so check.
            guard EVP_PKEY_derive_init(context) == 1,
                EVP_PKEY_derive_set_peer(context, peer) == 1,
                EVP_PKEY_derive(context, secret.baseAddress, &length) == 1,
                length == Self.shareLength,
                secret.reduce(0, |) != 0
            else { throw CryptoError("X25519") }
        }
    }
}

private func bigEndianBytes(_ word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) }
}
