import COpenSSL
import Synchronization

/// What a server encrypts its tickets with: a key for new ones, and the one before it for those that are still out.
final class TicketKeys: Sendable {
    /// AES-256 and HMAC-SHA256, and a name to find them by (RFC 5077, 4).
    private final class Key: Sendable {
        static let nameLength = 16
        static let secretLength = 32

        let name: [UInt8]
        let cipher: SecretBytes
        let code: SecretBytes

        init() throws(CryptoError) {
            // Anybody may read the name.
            name = try SecretBytes(count: Self.nameLength) { (bytes) throws(CryptoError) in try Randomness.fill(bytes) }
                .withBytes { Array($0) }
            cipher = try Self.secret()
            code = try Self.secret()
        }

        private static func secret() throws(CryptoError) -> SecretBytes {
            try SecretBytes(count: secretLength) { (bytes) throws(CryptoError) in
                try Randomness.fill(bytes, isSecret: true)
            }
        }
    }

    private struct Pair {
        var current: Key
        var previous: Key?
    }

    private let pair: Mutex<Pair>

    init() throws(CryptoError) { pair = Mutex(Pair(current: try Key(), previous: nil)) }

    /// Makes a new key; the one before the current one is forgotten.
    func rotate() throws(CryptoError) {
        let key = try Key()
        pair.withLock { pair in
            pair.previous = pair.current
            pair.current = key
        }
    }

    /// Prepares to encrypt a ticket: fills in name and initialisation vector.
    func seal(
        name: UnsafeMutablePointer<UInt8>, vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer,
        _ code: OpaquePointer
    ) -> Bool {
        let key = pair.withLock(\.current)
        name.update(from: key.name, count: Key.nameLength)
        guard RAND_bytes(vector, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 else { return false }
        return prepare(key, cipher, code) { EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), $0, vector, nil) }
    }

    /// Prepares to decrypt one; nil if none of the keys has that name.
    func open(
        name: UnsafePointer<UInt8>, vector: UnsafePointer<UInt8>, _ cipher: OpaquePointer, _ code: OpaquePointer
    ) -> Bool? {
        let name = UnsafeBufferPointer(start: name, count: Key.nameLength)
        let key = pair.withLock { pair in
            [pair.current, pair.previous].compactMap { $0 }.first { $0.name.elementsEqual(name) }
        }
        guard let key else { return nil }
        return prepare(key, cipher, code) { EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), $0, vector, nil) }
    }

    private func prepare(
        _ key: Key, _ cipher: OpaquePointer, _ code: OpaquePointer, _ initialise: (UnsafePointer<UInt8>?) -> Int32
    ) -> Bool {
        key.code.withBytes { usl_ticket_mac(code, $0.baseAddress, $0.count) } == 1
            && key.cipher.withBytes { initialise($0.bindMemory(to: UInt8.self).baseAddress) } == 1
    }
}
