import COpenSSL

/// What a key is known by: the SHA-256 of its SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), whatever certificate it comes in.
///
/// As text it is written like ssh-keygen's: `SHA256:` and base64 without padding.
public struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    private static let prefix = "SHA256:"
    /// Characters of base64 for 32 bytes, without padding.
    private static let textLength = 43

    private let words: (UInt64, UInt64, UInt64, UInt64)

    init(digest: [UInt8]) {
        precondition(digest.count == Int(SHA256_DIGEST_LENGTH), "SHA-256 has 32 bytes")
        words = digest.withUnsafeBytes { $0.loadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self) }
    }

    /// The key of a certificate.
    init?(of certificate: OpaquePointer) {
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &encoded)
        guard length > 0, let encoded else { return nil }
        defer { usl_free(encoded) }
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        guard SHA256(encoded, Int(length), &digest) != nil else { return nil }
        self.init(digest: digest)
    }

    /// Reads what `description` writes, and nothing else: every fingerprint has one spelling.
    public init?(_ text: String) {
        guard text.hasPrefix(Self.prefix) else { return nil }
        let base64 = Array(text.utf8.dropFirst(Self.prefix.utf8.count))
        guard base64.count == Self.textLength else { return nil }
        // 44 characters are 33 bytes, the last of which is the padding's.
        var bytes = [UInt8](repeating: 0, count: 33)
        guard EVP_DecodeBlock(&bytes, base64 + [UInt8(ascii: "=")], 44) == 33 else { return nil }
        self.init(digest: Array(bytes.dropLast()))
        // OpenSSL skips white space, and ignores bits behind the last byte.
        guard description == text else { return nil }
    }

    public var description: String {
        var base64 = [UInt8](repeating: 0, count: 45)
        let length = withUnsafeBytes(of: words) {
            EVP_EncodeBlock(&base64, $0.bindMemory(to: UInt8.self).baseAddress, Int32($0.count))
        }
        return Self.prefix + String(decoding: base64[..<(Int(length) - 1)], as: UTF8.self)
    }

    public static func == (left: Fingerprint, right: Fingerprint) -> Bool { left.words == right.words }

    public func hash(into hasher: inout Hasher) {
        // The digest is uniform: a part of it tells as much.
        hasher.combine(words.0)
    }
}
