import COpenSSL

/// The secret that the two ends of a session share, which proves the right to resume it.
public struct ResumeKey: ~Copyable, Sendable {
    /// Bytes of a key.
    public static let length = 32
    /// Bytes of a proof.
    public static let proofLength = HMACSHA256.length

    /// Names the purpose in the derivation, so that the same secret used for another gives another key.
    static let label = Array("USL/1 resume key".utf8)

    private let secret: SecretBytes

    init(secret: consuming SecretBytes) { self.secret = secret }

    /// A key from a ledger; nil unless there are 32 bytes.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.length else { return nil }
        secret = SecretBytes(count: Self.length) { $0.copyMemory(from: bytes) }
    }

    /// Lends the key, for a ledger.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try secret.withBytes(body)
    }

    /// The proof, an HMAC-SHA256, of everything that a frame's proof covers.
    public func proof(of transcript: [UInt8]) throws(CryptoError) -> [UInt8] {
        try secret.withBytes { (key) throws(CryptoError) in try HMACSHA256.code(of: transcript, key: key) }
    }
}
