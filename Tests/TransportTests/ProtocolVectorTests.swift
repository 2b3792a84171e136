import CLinux
import SessionProtocol
import Testing

@testable import Transport

/// The key and the proofs of the vectors in docs/protocol.md; SessionProtocolTests reads their frames.
@Suite struct ProtocolVectorTests {
    private let values: [String: [UInt8]]

    init() throws { values = try Self.read() }

    /// `section.name` and its bytes, for every value that is hexadecimal.
    private static func read(file: StaticString = #filePath) throws -> [String: [UInt8]] {
        let root = "\(file)".split(separator: "/").dropLast(3).joined(separator: "/")
        let stream = try #require(fopen("/\(root)/docs/protocol.md", "r"))
        defer { fclose(stream) }
        var bytes: [UInt8] = []
        while case let byte = getc(stream), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        let start = try #require(lines.firstIndex { $0 == "```usl-vectors" })
        var values: [String: [UInt8]] = [:]
        var section = ""
        for line in lines[(start + 1)...].prefix(while: { $0 != "```" }) {
            let parts = line.split(separator: " ")
            if parts.count == 1 { section = String(line.dropFirst().dropLast()) }
            guard parts.count == 3 else { continue }
            let digits = parts[2].compactMap { $0.hexDigitValue }
            values["\(section).\(parts[0])"] = stride(from: 0, to: digits.count & ~1, by: 2).map {
                UInt8(digits[$0] << 4 | digits[$0 + 1])
            }
        }
        return values
    }

    private func bytes(_ name: String) throws -> [UInt8] { try #require(values[name]) }

    private func agreement(_ name: String) throws -> KeyAgreement {
        let privateKey = try bytes("resume-key.\(name)_private")
        return try KeyAgreement(
            privateKey: SecretBytes(count: privateKey.count) { $0.copyBytes(from: privateKey) })
    }

    private func resumeKey(_ role: Role) throws -> ResumeKey {
        let words = try bytes("resume-key.session").map { UInt64($0) }
        let session = SessionID(
            high: words.prefix(8).reduce(0) { $0 << 8 | $1 }, low: words.suffix(8).reduce(0) { $0 << 8 | $1 })
        let (own, peer) = role == .opener ? ("opener", "acceptor") : ("acceptor", "opener")
        return try agreement(own).resumeKey(as: role, of: session, with: try bytes("resume-key.\(peer)_share"))
    }

    @Test func shares() throws {
        #expect(try agreement("opener").share == bytes("resume-key.opener_share"))
        #expect(try agreement("acceptor").share == bytes("resume-key.acceptor_share"))
        let secret = try agreement("opener").sharedSecret(with: try bytes("resume-key.acceptor_share"))
            .withBytes { Array($0) }
        #expect(try secret == bytes("resume-key.shared_secret"))
    }

    @Test(arguments: [Role.opener, .acceptor])
    func key(_ role: Role) throws {
        let key = try resumeKey(role).withBytes { Array($0) }
        #expect(try key == bytes("resume-key.key"))
    }

    /// The proof is the last 32 bytes, and its item the last 36.
    @Test(arguments: [
        ("opened", "USL/1 opened", []), ("attach", "USL/1 attach", [0]), ("attached", "USL/1 attach", [1]),
        ("attached-stale", "USL/1 attach", [1] as [UInt8]),
    ])
    func proof(_ section: String, _ label: String, _ role: [UInt8]) throws {
        let frame = try bytes("\(section).frame")
        let answered = section == "opened" ? try bytes("open.frame") : []
        let transcript = Array(label.utf8) + role + answered + frame.dropLast(36)
        let proof = try resumeKey(.opener).proof(of: transcript)
        #expect(proof == Array(frame.suffix(32)))
    }
}
