import CLinux
import COpenSSL
import SessionProtocol
import SystemPackage
import Testing

@testable import Transport

@Suite struct TLSResumptionTests {
    let ends: TLSEnds

    init() throws { ends = try TLSEnds() }

    private func ticket() throws -> SessionTicket { try TLSPair(ends).ticket() }

    @Test func bothEndsStillKnowTheOther() throws {
        let ticket = try ticket()
        #expect(ticket.fingerprint == ends.server.identity.fingerprint)
        let pair = try TLSPair(
            ends, clientAccepts: .only([ends.server.identity.fingerprint]),
            serverAccepts: .only([ends.client.identity.fingerprint]), resuming: ticket)
        try pair.open()
        #expect(pair.client.isResumed && pair.server.isResumed)
        #expect(pair.client.peerFingerprint == ends.server.identity.fingerprint)
        #expect(pair.server.peerFingerprint == ends.client.identity.fingerprint)
    }

    @Test func eachTicketIsFollowedByAnother() throws {
        var ticket = try ticket()
        for _ in 0..<3 {
            let pair = try TLSPair(ends, resuming: ticket)
            ticket = try pair.ticket()
            #expect(pair.client.isResumed == true)
            let another = pair.client.takeTicket()
            let isGivenOnce = another == nil
            #expect(isGivenOnce)
        }
    }

    @Test func earlyDataIsReadBeforeTheHandshakeIsOver() throws {
        let early = [UInt8](repeating: 7, count: TLSContext.maximumEarlyData)
        let pair = try TLSPair(ends, resuming: try ticket(), earlyData: early)
        var arrived: [UInt8] = []
        #expect(pair.client.handshake() == .needsRead)
        try eventually {
            #expect(pair.server.handshake() == .needsRead)
            arrived += pair.server.takeEarlyData()
            return arrived.count == early.count
        }
        #expect(arrived == early)
        #expect(pair.server.peerFingerprint == ends.client.identity.fingerprint)
        try pair.open()
        #expect(pair.client.earlyData == .accepted && pair.server.earlyData == .accepted)
        #expect(withSpans(["more"]) { pair.client.write($0) } == .bytes(4))
        #expect(try received(by: pair.server) == "more")
    }

    /// Without that, early data would save no time: the answer would come as late as to data behind Finished.
    @Test func earlyDataIsAnsweredBeforeTheHandshakeIsOver() throws {
        let pair = try TLSPair(ends, resuming: try ticket(), earlyData: Array("ATTACH".utf8))
        #expect(pair.server.canWrite == false)
        #expect(pair.client.handshake() == .needsRead)
        try eventually {
            #expect(pair.server.handshake() == .needsRead)
            return pair.server.takeEarlyData() == Array("ATTACH".utf8)
        }
        #expect(pair.server.canWrite == true)
        #expect(withSpans(["ATTACHED"]) { pair.server.write($0) } == .bytes(8))
        try eventually { pair.client.handshake() == .done }
        // The server has not done anything more.
        #expect(try received(by: pair.client) == "ATTACHED")
        #expect(withSpans(["first"]) { pair.client.write($0) } == .bytes(5))
        try pair.open()
        #expect(try received(by: pair.server) == "first")
        #expect(withSpans(["and on"]) { pair.server.write($0) } == .bytes(6))
        #expect(try received(by: pair.client) == "and on")
    }

    @Test func aTicketSaysHowMuchEarlyDataThereMayBe() throws {
        let pair = try TLSPair(ends, resuming: try ticket())
        #expect(pair.client.earlyDataLimit == TLSContext.maximumEarlyData)
        try pair.open()
        #expect(pair.client.isResumed && pair.client.earlyData == .none && pair.client.earlyDataLimit == 0)
        let first = try TLSPair(ends)
        #expect(first.client.earlyDataLimit == 0)
    }

    /// A gateway that has been started again knows no tickets of before.
    @Test func anotherServerRefusesEarlyData() throws {
        let ticket = try ticket()
        let server = try TLSContext(.server, identity: ends.server.identity)
        let early = [UInt8](repeating: 7, count: 10_000)
        let pair = try TLSPair(TLSEnds(client: ends.client, server: server), resuming: ticket, earlyData: early)
        try pair.open()
        #expect(pair.client.earlyData == .refused && !pair.client.isResumed)
        #expect(pair.server.takeEarlyData().isEmpty)
        #expect(withSpans(["again"]) { pair.client.write($0) } == .bytes(5))
        #expect(try received(by: pair.server) == "again")
    }

    @Test func ticketsLiveThroughOneChangeOfKeys() throws {
        let first = try ticket()
        let second = try ticket()
        try ends.server.rotateTicketKey()
        let pair = try TLSPair(ends, resuming: first)
        try pair.open()
        #expect(pair.client.isResumed == true)
        try ends.server.rotateTicketKey()
        let late = try TLSPair(ends, resuming: second)
        try late.open()
        #expect(late.client.isResumed == false)
    }

    /// The client's clock says that the ticket is too old, or the server's does.
    @Test func anExpiredTicketIsNotUsed() throws {
        let ticket = try ticket()
        SSL_SESSION_set_time(ticket.session, Int(time(nil)) - 25 * 60 * 60)
        let pair = try TLSPair(ends, resuming: ticket, earlyData: [1])
        try pair.open()
        #expect(!pair.client.isResumed && pair.client.earlyData != .accepted)
    }

    /// Each part of a ticket is authenticated.
    @Test(arguments: [0, 20, 40, 200, 470]) func aForgedTicketFallsBack(index: Int) throws {
        let forged = try forge(try ticket(), at: index)
        let pair = try TLSPair(ends, resuming: forged, earlyData: [1, 2, 3])
        try pair.open()
        #expect(!pair.client.isResumed && !pair.server.isResumed)
        #expect(pair.client.earlyData == .refused && pair.server.takeEarlyData().isEmpty)
    }

    private func forge(_ ticket: consuming SessionTicket, at index: Int) throws -> SessionTicket {
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = Int(i2d_SSL_SESSION(ticket.session, &encoded))
        defer { usl_free(encoded) }
        var bytes = Array(UnsafeBufferPointer(start: encoded, count: length))
        var start: UnsafePointer<UInt8>?
        var count = 0
        SSL_SESSION_get0_ticket(ticket.session, &start, &count)
        let original = Array(UnsafeBufferPointer(start: start, count: count))
        let position = try #require(bytes.indices.first { bytes[$0...].starts(with: original) })
        #expect(index < count)
        bytes[position + index] ^= 1
        let session = bytes.withUnsafeBufferPointer { bytes in
            var pointer = bytes.baseAddress
            return d2i_SSL_SESSION(nil, &pointer, length)
        }
        return SessionTicket(owning: try #require(session))
    }

    /// A key may be struck off while its tickets are out: early data of it is not given to anybody.
    @Test func theServerAsksAgain() throws {
        let ticket = try ticket()
        let pair = try TLSPair(ends, serverAccepts: .only([]), resuming: ticket, earlyData: [1, 2, 3])
        #expect(try pair.shake().server == .failed(.keyRefused(ends.client.identity.fingerprint)))
        #expect(pair.server.takeEarlyData().isEmpty)
    }

    /// Early data goes to nobody but those whom the client accepts now.
    @Test func theClientAsksAgain() throws {
        let ticket = try ticket()
        let pair = try TLSPair(
            ends, clientAccepts: .only([try Identity.generate().fingerprint]), resuming: ticket, earlyData: [1])
        #expect(try pair.shake().client == .failed(.keyRefused(ends.server.identity.fingerprint)))
        #expect(!pair.client.isResumed && pair.client.earlyData == .none)
    }
}

extension TLSEnds {
    init(client: TLSContext, server: TLSContext) {
        self.client = client
        self.server = server
    }
}
