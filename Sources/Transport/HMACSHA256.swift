import COpenSSL

/// HMAC-SHA256 (RFC 2104) and the key derivation that is built on it (HKDF, RFC 5869).
enum HMACSHA256 {
    static let length = 32

    /// The code of a message.
    static func code(of message: [UInt8], key: UnsafeRawBufferPointer) throws(CryptoError) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: length)
        var written = 0
        let result = EVP_Q_mac(
            nil, "HMAC", nil, "SHA256", nil, key.baseAddress, key.count, message, message.count, &code, length, &written
        )
        guard result != nil, written == length else { throw CryptoError("HMAC-SHA256") }
        return code
    }

    /// `count` bytes of key material from a secret: HKDF, extract and expand.
    static func expanded(
        _ secret: borrowing SecretBytes, salt: [UInt8], info: [UInt8], count: Int
    ) throws(CryptoError) -> SecretBytes {
        guard let function = EVP_KDF_fetch(nil, "HKDF", nil) else { throw CryptoError("HKDF-SHA256") }
        defer { EVP_KDF_free(function) }
        guard let context = EVP_KDF_CTX_new(function) else { throw CryptoError("HKDF-SHA256") }
        defer { EVP_KDF_CTX_free(context) }
        return try SecretBytes(count: count) { (output) throws(CryptoError) in
            let result = secret.withBytes {
                usl_hkdf_sha256(
                    context, $0.baseAddress, $0.count, salt, salt.count, info, info.count, output.baseAddress,
                    output.count)
            }
            guard result == 1 else { throw CryptoError("HKDF-SHA256") }
        }
    }
}
