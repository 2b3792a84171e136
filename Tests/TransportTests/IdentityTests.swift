import COpenSSL
import Testing

@testable import Transport

@Suite struct IdentityTests {
    @Test func comesBackFromPEM() throws {
        let identity = try Identity.generate()
        let pem = try identity.pem()
        let text = pem.withBytes { String(decoding: $0, as: UTF8.self) }
        #expect(text.hasPrefix("-----BEGIN PRIVATE KEY-----\n"))
        #expect(text.hasSuffix("-----END CERTIFICATE-----\n"))
        let again = try pem.withBytes { try Identity(pem: $0) }
        #expect(again.fingerprint == identity.fingerprint)
        #expect(try again.pem().withBytes { String(decoding: $0, as: UTF8.self) } == text)
        #expect(try Identity.generate().fingerprint != identity.fingerprint)
    }

    @Test func isOnP256AndNeverExpires() throws {
        let identity = try Identity.generate()
        #expect(EVP_PKEY_get_bits(identity.key) == 256)
        var end = tm()
        #expect(ASN1_TIME_to_tm(X509_get0_notAfter(identity.certificate), &end) == 1)
        #expect(end.tm_year == 9999 - 1900)
        #expect(X509_verify(identity.certificate, identity.key) == 1)
    }

    @Test func refusesWhatIsNoIdentity() throws {
        func read(_ text: String) throws { _ = try Array(text.utf8).withUnsafeBytes { try Identity(pem: $0) } }
        func text() throws -> String {
            try Identity.generate().pem().withBytes { String(decoding: $0, as: UTF8.self) }
        }
        let (one, other) = (try text(), try text())
        let mark = "-----BEGIN CERTIFICATE-----"
        let start = try #require(one.firstRange(of: mark)?.lowerBound)
        let otherStart = try #require(other.firstRange(of: mark)?.lowerBound)
        #expect(throws: Never.self) { try read(one) }
        #expect(throws: CryptoError.self) { try read("") }
        #expect(throws: CryptoError.self) { try read(String(one[..<start])) }
        #expect(throws: CryptoError.self) { try read(String(one[start...])) }
        #expect(throws: CryptoError.self) { try read(String(one.dropLast(100))) }
        // A key and the certificate of another.
        #expect(throws: CryptoError.self) { try read(one[..<start] + String(other[otherStart...])) }
    }

    @Test func fingerprintIsThatOfThePublicKey() throws {
        let identity = try Identity.generate()
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_PUBKEY(identity.key, &encoded)
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(encoded, Int(length), &digest)
        usl_free(encoded)
        #expect(Fingerprint(digest: digest) == identity.fingerprint)
    }

    @Test func fingerprintsHaveOneSpelling() throws {
        let zero = Fingerprint(digest: [UInt8](repeating: 0, count: 32))
        let text = "SHA256:" + String(repeating: "A", count: 43)
        #expect(zero.description == text)
        #expect(Fingerprint(text) == zero)
        let counting = Fingerprint(digest: Array(0..<32))
        #expect(counting.description == "SHA256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
        #expect(Fingerprint(counting.description) == counting)
        #expect(counting != zero)
        let short = String(text.dropLast())
        let wrong: [String] = [
            "", "SHA256:", short, text + "A", text + "=", " " + text, text + "\n", short + "B", short + "-",
            short + " ",
            short + "é", text.replacing("SHA", with: "sha"), text.replacing("SHA256", with: "MD5"),
        ]
        for text in wrong { #expect(Fingerprint(text) == nil, "'\(text)'") }
    }
}
