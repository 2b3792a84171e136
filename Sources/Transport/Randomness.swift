import COpenSSL
public import SessionProtocol

/// Random numbers that nobody can guess.
public enum Randomness {
    /// Fills a buffer.
    ///
    /// - Parameter isSecret: whether the bytes are never shown: they then come from a generator of their own, so that
    ///   what the public one gives away tells nothing about them.
    public static func fill(_ buffer: UnsafeMutableRawBufferPointer, isSecret: Bool = false) throws(CryptoError) {
        let bytes = buffer.bindMemory(to: UInt8.self).baseAddress
        let count = Int32(buffer.count)
        let result = isSecret ? RAND_priv_bytes(bytes, count) : RAND_bytes(bytes, count)
        guard result == 1 else { throw CryptoError("reading random bytes") }
    }

    /// A new name for a session.
    public static func sessionID() throws(CryptoError) -> SessionID {
        var words: (UInt64, UInt64) = (0, 0)
        try withUnsafeMutableBytes(of: &words) { (bytes) throws(CryptoError) in try fill(bytes) }
        return SessionID(high: words.0, low: words.1)
    }
}
