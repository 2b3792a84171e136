import CLinux
import COpenSSL
import Kernel
import SessionProtocol
import SystemPackage
import Testing

@testable import Transport

@Suite struct TLSHandshakeTests {
    let ends: TLSEnds

    init() throws { ends = try TLSEnds() }

    private func stranger() throws -> Fingerprint { try Identity.generate().fingerprint }

    @Test func bothEndsKnowTheOther() throws {
        let pair = try TLSPair(
            ends, clientAccepts: .only([ends.server.identity.fingerprint]),
            serverAccepts: .only([ends.client.identity.fingerprint, try stranger()]))
        #expect(pair.client.peerFingerprint == nil)
        try pair.open()
        #expect(pair.client.peerFingerprint == ends.server.identity.fingerprint)
        #expect(pair.server.peerFingerprint == ends.client.identity.fingerprint)
        #expect(!pair.client.isResumed && !pair.server.isResumed)
        #expect(pair.client.earlyData == .none && pair.server.takeEarlyData().isEmpty)
        #expect(withSpans(["hello ", "", "there"]) { pair.client.write($0) } == .bytes(11))
        #expect(try received(by: pair.server) == "hello there")
    }

    /// Whoever is asked when, and however little the sockets hold.
    @Test(arguments: 0..<20) func inAnyInterleaving(seed: UInt64) throws {
        let pair = try TLSPair(ends, buffer: seed % 2 == 0 ? 0 : 1)
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        var progress = (HandshakeProgress.needsWrite, HandshakeProgress.needsRead)
        let end = try finish {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            if state >> 63 == 0 { progress.0 = pair.client.handshake() } else { progress.1 = pair.server.handshake() }
            return progress
        }
        #expect(end == (.done, .done))
    }

    @Test func theClientRefusesAnotherKey() throws {
        let pair = try TLSPair(ends, clientAccepts: .only([try stranger()]))
        let progress = try pair.shake()
        #expect(progress.client == .failed(.keyRefused(ends.server.identity.fingerprint)))
        #expect(progress.server == .failed(.refusedByPeer))
        #expect(pair.client.peerFingerprint == ends.server.identity.fingerprint)
        #expect(pair.client.failure == .keyRefused(ends.server.identity.fingerprint))
        // It stays so.
        #expect(pair.client.handshake() == progress.client)
    }

    /// TLS 1.3 tells a client only after its own handshake.
    @Test(arguments: [false, true]) func theServerRefusesAnotherKey(acceptsNone: Bool) throws {
        let accepted = AcceptedKeys.only(acceptsNone ? [] : [try stranger()])
        let pair = try TLSPair(ends, serverAccepts: accepted)
        let progress = try pair.shake()
        #expect(progress.server == .failed(.keyRefused(ends.client.identity.fingerprint)))
        #expect(progress.client == .done)
        #expect(try read(pair.client).0 == .failed(.protocolError))
        #expect(pair.client.failure == .refusedByPeer)
        #expect(pair.client.hasBufferedInput == true)
        #expect(try read(pair.client).0 == .failed(.protocolError))
    }

    // MARK: - Peers that are not USL

    private func serve(_ foreign: (consuming TCPSocket) throws -> ForeignEnd) throws -> (HandshakeProgress, Int32) {
        let sockets = try Connection()
        let server = try TLSConnection(server: ends.server, sockets.accepted, accepting: .any)
        let client = try foreign(sockets.dialled)
        SSL_set_connect_state(client.ssl)
        let progress = try finish {
            let progress = server.handshake()
            // A client may be done before it is refused.
            let isOver = client.step()
            return (isOver || progress.isFinal ? .done : .needsRead, progress)
        }
        var byte: UInt8 = 0
        try eventually { client.reason != 0 || SSL_read(client.ssl, &byte, 1) <= 0 && ERR_peek_error() != 0 }
        defer { ERR_clear_error() }
        return (progress.server, client.reason != 0 ? client.reason : usl_error_reason(ERR_peek_error()))
    }

    @Test func aClientWithoutKey() throws {
        let (progress, alert) = try serve { try ForeignEnd(TLS_client_method(), $0) { offer("usl/1", $0) } }
        #expect(progress == .failed(.noCertificate))
        #expect(alert == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
    }

    @Test(arguments: ["h2", "usl/2", "usl/", nil]) func aClientForSomethingElse(name: String?) throws {
        let (progress, alert) = try serve { [ends] socket in
            try ForeignEnd(TLS_client_method(), socket, ends.client.identity) { context in
                if let name { offer(name, context) }
            }
        }
        #expect(progress == .failed(.application))
        #expect(alert == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)
    }

    @Test func anOldClient() throws {
        let (progress, alert) = try serve { [ends] in
            try ForeignEnd(TLS_client_method(), $0, ends.client.identity) {
                SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
            }
        }
        #expect(progress == .failed(.version))
        #expect(alert == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
    }

    private func dial(_ configure: @escaping (OpaquePointer) -> Void) throws -> HandshakeProgress {
        let sockets = try Connection()
        let client = try TLSConnection(client: ends.client, sockets.dialled, accepting: .any)
        let server = try ForeignEnd(TLS_server_method(), sockets.accepted, ends.server.identity, configure)
        SSL_set_accept_state(server.ssl)
        return try finish { (client.handshake(), server.step() ? .done : .needsRead) }.client
    }

    @Test func aServerForSomethingElse() throws { #expect(try dial { _ in } == .failed(.application)) }

    @Test func anOldServer() throws {
        let progress = try dial { SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil) }
        #expect(progress == .failed(.version))
    }

    @Test(arguments: [
        ("USL/1\r\n\0", TLSFailure.plainPeer), ("GET / HTTP/1.1\r\n\r\n", .notTLS), ("SSH-2.0-x\r\n", .notTLS),
        ("\0", .notTLS), ("U", .plainPeer),
    ])
    func aPeerWithoutTLS(speaks: String, failure: TLSFailure) throws {
        for role in [TLSContext.Role.client, .server] {
            let sockets = try Connection()
            let connection = try ends.connection(as: role, over: sockets.dialled)
            #expect(send(speaks, over: sockets.accepted) == .bytes(speaks.utf8.count))
            try sockets.accepted.shutdownSending()
            let end = try finish { (connection.handshake(), .done) }
            #expect(end.client == .failed(failure), "\(role)")
        }
    }

    /// A record that claims to be one of TLS, with anything in it.
    @Test(arguments: 0..<50) func garbageInRecords(seed: UInt64) throws {
        var state = seed &+ 1
        var bytes: [UInt8] = [0x16, 3, 3, 0, 100]
        for _ in 0..<100 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.append(UInt8(truncatingIfNeeded: state >> 56))
        }
        if seed % 2 == 0 { bytes[5...8] = [1, 0, 0, 96] }
        for role in [TLSContext.Role.client, .server] {
            let sockets = try Connection()
            let connection = try ends.connection(as: role, over: sockets.dialled)
            let number = sockets.accepted.number
            _ = bytes.withUnsafeBytes { bytes in CLinux.send(number, bytes.baseAddress, bytes.count, 0) }
            try sockets.accepted.shutdownSending()
            guard case .failed = try finish({ (connection.handshake(), .done) }).client else {
                Issue.record("garbage was taken for a handshake")
                return
            }
        }
    }

    @Test func aClientThatTalksForEver() throws {
        let sockets = try Connection()
        let server = try TLSConnection(server: ends.server, sockets.accepted, accepting: .any)
        let number = sockets.dialled.number
        // The start of a ClientHello of 100,000 bytes, in full records.
        let hello: [UInt8] = [1, 1, 0x86, 0xa0]
        var sent = 0
        var progress = HandshakeProgress.needsRead
        while !progress.isFinal, sent < 1 << 20 {
            let body = (sent == 0 ? hello : []) + [UInt8](repeating: 0, count: 16_000)
            let record = [0x16, 3, 3, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
            sent += max(
                0,
                record.withUnsafeBytes { bytes in
                    CLinux.send(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
                })
            progress = server.handshake()
        }
        guard case .failed = progress else {
            Issue.record("\(sent) bytes were taken: \(progress)")
            return
        }
        #expect(sent <= 2 * TLSContext.maximumHandshake)
    }

    // MARK: - Ends

    /// Cut behind every byte in either direction, the handshake ends at both ends and never in a wrong belief.
    @Test func cutAtEveryByte() throws {
        let whole = try relayed(cut: .max)
        #expect(whole.client == .done && whole.server == .done && whole.bytes > 1000)
        for cut in 0..<whole.bytes {
            let outcome = try relayed(cut: cut)
            // Behind the client's last byte come only tickets. Lengths differ by a few bytes with signatures.
            if cut < whole.bytes - 1200 { #expect(outcome.server != .done, "cut at \(cut)") }
            for end in [outcome.client, outcome.server] where end != .done {
                guard case .failed(let failure) = end else {
                    Issue.record("cut at \(cut): \(end)")
                    continue
                }
                let isEnd =
                    failure == .closed || failure == .socket(.connectionReset) || failure == .socket(.brokenPipe)
                #expect(isEnd, "cut at \(cut): \(failure)")
            }
        }
    }

    /// A handshake through a relay that ends after so many bytes, both directions counted.
    private func relayed(cut: Int) throws -> (client: HandshakeProgress, server: HandshakeProgress, bytes: Int) {
        let left = try Connection()
        let right = try Connection()
        let client = try TLSConnection(client: ends.client, left.dialled, accepting: .any)
        let server = try TLSConnection(server: ends.server, right.accepted, accepting: .any)
        let near = left.accepted
        let far = right.dialled
        var bytes = 0
        let progress = try finish {
            let progress = (client.handshake(), server.handshake())
            for (from, to) in [(near.number, far.number), (far.number, near.number)] where bytes < cut {
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = recv(from, &buffer, min(buffer.count, cut - bytes), Int32(MSG_DONTWAIT))
                if count > 0 { bytes += CLinux.send(to, buffer, count, Int32(MSG_NOSIGNAL)) }
            }
            if bytes >= cut {
                try? near.shutdownSending()
                try? far.shutdownSending()
            }
            return progress
        }
        return (progress.client, progress.server, bytes)
    }

    @Test func theSocketIsClosedWithTheConnection() throws {
        let sockets = try Connection()
        let peer = sockets.accepted
        do {
            let client = try TLSConnection(client: ends.client, sockets.dialled, accepting: .any)
            #expect(client.handshake() == .needsRead)
        }
        try eventually {
            if case .endOfStream = try receive(from: peer).0 { true } else { false }
        }
    }
}
