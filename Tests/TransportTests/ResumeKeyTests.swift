import SessionProtocol
import Testing

@testable import Transport

/// Bytes from hexadecimal digits.
private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

private func secret(_ bytes: [UInt8]) -> SecretBytes { SecretBytes(count: bytes.count) { $0.copyBytes(from: bytes) } }

extension SecretBytes {
    fileprivate var array: [UInt8] { withBytes { Array($0) } }
}

extension ResumeKey {
    fileprivate var array: [UInt8] { withBytes { Array($0) } }
}

private let session = SessionID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10)

@Suite struct ResumeKeyTests {
    // RFC 7748, 6.1.
    private let alicePrivate = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    private let aliceShare = bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    private let bobPrivate = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    private let bobShare = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    private let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

    @Test func x25519() throws {
        let alice = try KeyAgreement(privateKey: secret(alicePrivate))
        let bob = try KeyAgreement(privateKey: secret(bobPrivate))
        #expect(alice.share == aliceShare)
        #expect(bob.share == bobShare)
        let atAlice = try alice.sharedSecret(with: bobShare).array
        let atBob = try bob.sharedSecret(with: aliceShare).array
        #expect(atAlice == shared && atBob == shared)
    }

    /// Points of small order, with which everybody's secret is zero (RFC 7748, 6.1), and shares of a wrong length.
    @Test func refusesShares() throws {
        let agreement = try KeyAgreement.generate()
        let zero = [UInt8](repeating: 0, count: 32)
        let one = [1] + zero.dropFirst()
        for share in [zero, one, [], Array(aliceShare.dropLast()), aliceShare + [0]] {
            #expect(throws: CryptoError.self) { _ = try agreement.resumeKey(as: .opener, of: session, with: share) }
        }
        let key = try agreement.resumeKey(as: .opener, of: session, with: aliceShare)
        #expect(key.array.count == ResumeKey.length, "an earlier failure leaves nothing behind")
    }

    /// RFC 5869, A.1 and A.3.
    @Test func hkdf() throws {
        let input = secret([UInt8](repeating: 0x0b, count: 22))
        let first = try HMACSHA256.expanded(input, salt: Array(0...0x0c), info: Array(0xf0...0xf9), count: 42).array
        #expect(
            first
                == bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
        let third = try HMACSHA256.expanded(input, salt: [], info: [], count: 42).array
        #expect(
            third
                == bytes("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
    }

    /// RFC 4231, cases 1, 2 and 6.
    @Test func hmac() throws {
        let cases: [(key: [UInt8], text: String, code: String)] = [
            (
                [UInt8](repeating: 0x0b, count: 20), "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xaa, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
        ]
        for (key, text, code) in cases {
            let found = try key.withUnsafeBytes { try HMACSHA256.code(of: Array(text.utf8), key: $0) }
            #expect(found == bytes(code))
        }
    }

    @Test func bothEndsDeriveTheSameKey() throws {
        let opener = try KeyAgreement.generate()
        let acceptor = try KeyAgreement.generate()
        let key = try opener.resumeKey(as: .opener, of: session, with: acceptor.share)
        let same = try acceptor.resumeKey(as: .acceptor, of: session, with: opener.share)
        #expect(key.array == same.array)

        let reflected = try acceptor.resumeKey(as: .opener, of: session, with: opener.share)
        #expect(key.array != reflected.array)
        let other = SessionID(high: session.high, low: session.low ^ 1)
        let elsewhere = try opener.resumeKey(as: .opener, of: other, with: acceptor.share)
        #expect(key.array != elsewhere.array)
    }

    /// The derivation from its definition, as another implementation would write it.
    @Test func derivation() throws {
        let alice = try KeyAgreement(privateKey: secret(alicePrivate))
        let key = try alice.resumeKey(as: .opener, of: session, with: bobShare).array
        let salt = Array(0x01...0x10 as ClosedRange<UInt8>)
        let extracted = try salt.withUnsafeBytes { try HMACSHA256.code(of: shared, key: $0) }
        let info = Array("USL/1 resume key".utf8) + aliceShare + bobShare + [1]
        let expanded = try extracted.withUnsafeBytes { try HMACSHA256.code(of: info, key: $0) }
        #expect(key == expanded)
    }

    @Test func survivesALedger() throws {
        let agreement = try KeyAgreement.generate()
        let key = try agreement.resumeKey(as: .opener, of: session, with: aliceShare)
        let ledger = UnsafeMutableRawBufferPointer.allocate(byteCount: ResumeKey.length, alignment: 1)
        defer { ledger.deallocate() }
        key.withBytes { ledger.copyMemory(from: $0) }
        guard let restored = ResumeKey(bytes: UnsafeRawBufferPointer(ledger)) else {
            Issue.record("no key")
            return
        }
        let truncated = ResumeKey(bytes: UnsafeRawBufferPointer(rebasing: ledger.dropLast())) != nil
        #expect(!truncated)
        let transcript = Array("everything that the proof covers".utf8)
        let (proof, again) = (try key.proof(of: transcript), try restored.proof(of: transcript))
        #expect(proof == again && proof.count == ResumeKey.proofLength)
        let other = try key.proof(of: transcript + [0])
        #expect(proof != other)
    }

    @Test func sessionsHaveDifferentNames() throws {
        let (first, second) = (try Randomness.sessionID(), try Randomness.sessionID())
        #expect(first != second)
    }
}
