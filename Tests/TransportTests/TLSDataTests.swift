import CLinux
import COpenSSL
import Kernel
import SystemPackage
import Testing

@testable import Transport

@Suite struct TLSDataTests {
    let ends: TLSEnds

    init() throws { ends = try TLSEnds() }

    private static func byte(at position: Int, of direction: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: (position &* 31 &+ position >> 8) ^ direction)
    }

    /// One direction of a transfer.
    private struct Flow {
        let direction: Int
        let total: Int
        var written = 0
        var read = 0
        var isRight = true
        var state: UInt64

        var isOver: Bool { read == total }

        mutating func number(below bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }

        /// Writes spans of chance lengths. What is held counts as written, so that the next spans are others.
        mutating func write(to connection: borrowing TLSConnection) -> TransferResult {
            var lengths = (0..<5).map { _ in [0, 24, 1, 5000, 16_384, 70_000][number(below: 6)] }
            lengths.append(1)
            var position = written
            let buffers = lengths.map { length in
                let count = min(length, total - position)
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
                for index in 0..<count { buffer[index] = TLSDataTests.byte(at: position + index, of: direction) }
                position += count
                return buffer
            }
            defer {
                for buffer in buffers {
                    buffer.initializeMemory(as: UInt8.self, repeating: 0xee)
                    buffer.deallocate()
                }
            }
            let result = buffers.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
                .withUnsafeBufferPointer { connection.write($0) }
            if case .bytes(let count) = result { written += count }
            return result
        }

        mutating func read(from connection: borrowing TLSConnection, into buffer: UnsafeMutableRawBufferPointer) {
            let size = 1 + number(below: buffer.count)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
            guard case .bytes(let count) = connection.read(into: part) else { return }
            for index in 0..<count where part[index] != TLSDataTests.byte(at: read + index, of: direction) {
                isRight = false
            }
            read += count
            // What an edge-triggered loop relies on.
            if count < size { isRight = isRight && !connection.hasBufferedInput }
        }
    }

    @Test(arguments: [0, 1, 2]) func bulkInBothDirections(seed: UInt64) throws {
        let pair = try TLSPair(ends, buffer: 20_000)
        try pair.open()
        var up = Flow(direction: 0x00, total: 3_000_000, state: seed)
        var down = Flow(direction: 0x5a, total: 2_000_000, state: seed &+ 77)
        var (blocked, held) = (0, 0)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 60_000, alignment: 16)
        defer { buffer.deallocate() }
        try eventually {
            for _ in 0..<3 {
                if up.written < up.total, up.write(to: pair.client) == .wouldBlock { blocked += 1 }
                if down.written < down.total, down.write(to: pair.server) == .wouldBlock { blocked += 1 }
                if pair.client.hasBufferedOutput { held += 1 }
            }
            _ = pair.client.flush()
            _ = pair.server.flush()
            up.read(from: pair.server, into: buffer)
            down.read(from: pair.client, into: buffer)
            return up.isOver && down.isOver
        }
        #expect(up.isRight && down.isRight)
        #expect(blocked > 10 && held > 10, "the sockets were never full")
        #expect(!pair.client.hasBufferedOutput && !pair.server.hasBufferedOutput)
    }

    /// No event tells of data that came with the end of the handshake.
    @Test func dataBehindTheHandshakeIsNotForgotten() throws {
        let pair = try TLSPair(ends)
        try eventually {
            if pair.client.handshake() == .done { return true }
            #expect(pair.server.handshake() == .needsRead)
            return false
        }
        #expect(withSpans(["first"]) { pair.client.write($0) } == .bytes(5))
        let sent = try pair.client.withSocket { socket in
            try eventually { try socket.unacknowledgedBytes() == 0 }
            return try socket.info().bytes_acked
        }
        try pair.server.withSocket { socket in try eventually { try socket.info().bytes_received + 1 >= sent } }
        #expect(pair.server.handshake() == .done)
        #expect(pair.server.hasBufferedInput == true)
        var bytes = [UInt8](repeating: 0, count: 100)
        #expect(bytes.withUnsafeMutableBytes { pair.server.read(into: $0) } == .bytes(5))
        #expect(pair.server.hasBufferedInput == false)
    }

    @Test func oneSystemCallForHeaderAndPayload() throws {
        let pair = try TLSPair(ends)
        try pair.open()
        #expect(withSpans(["header", "payload"]) { pair.client.write($0) } == .bytes(13))
        // One record: 5 bytes of header, the content type and a tag of 16.
        let unread = try pair.server.withSocket { socket in
            try eventually { try socket.unreadBytes() > 0 }
            return try socket.unreadBytes()
        }
        // The client's Finished and certificate have been read by the handshake.
        #expect(unread == 13 + 5 + 1 + 16)
    }

    /// Records that follow each other share packets, and what is last does not wait for company.
    @Test func recordsOfOneWriteShareSegments() throws {
        let pair = try TLSPair(ends)
        try pair.open()
        func sent() throws -> (segments: UInt32, bytesLeft: UInt32) {
            let info = try pair.client.withSocket { (socket) throws(Errno) in try socket.info() }
            return (info.data_segs_out, info.notsent_bytes)
        }
        let before = try sent().segments
        let half = String(repeating: "x", count: 20 << 10)
        #expect(withSpans([half, half, ""]) { pair.client.write($0) } == .bytes(40 << 10))
        // Three records, in segments of up to 64 KiB on loopback.
        let after = try sent()
        #expect(after.segments - before < 3)
        #expect(after.bytesLeft == 0 && !pair.client.hasBufferedOutput)
    }

    @Test(arguments: [true, false]) func bothKindsOfEndAreEnds(saysSo: Bool) throws {
        let pair = try TLSPair(ends)
        try pair.open()
        #expect(withSpans(["last"]) { pair.client.write($0) } == .bytes(4))
        if saysSo {
            try pair.client.shutdown()
        } else {
            try pair.client.withSocket { (socket) throws(Errno) in try socket.shutdownSending() }
        }
        try pair.server.withSocket { socket in
            try eventually { try socket.info().state == 8 }  // TCP_CLOSE_WAIT: the FIN is here.
        }
        #expect(try read(pair.server) == (.bytes(4), Array("last".utf8)))
        #expect(pair.server.hasBufferedInput == true, "the end was read with the bytes")
        #expect(try read(pair.server).0 == .endOfStream)
        #expect(try read(pair.server).0 == .endOfStream)
        // The other direction goes on.
        #expect(withSpans(["answer"]) { pair.server.write($0) } == .bytes(6))
        #expect(try received(by: pair.client) == "answer")
    }

    /// Written to after a reset, it fails with an error and no SIGPIPE, which would end this process.
    @Test func aResetIsAnError() throws {
        #expect(usl_signal_is_ignored(SIGPIPE) == 0)
        #expect(!SignalSet.blocked.contains(SIGPIPE))
        let pair = try TLSPair(ends)
        try pair.open()
        try pair.server.withSocket { (socket) throws(Errno) in try socket.abort() }
        try pair.client.withSocket { try wait($0, for: POLLHUP) }
        #expect(withSpans(["x"]) { pair.client.write($0) } == .failed(.connectionReset))
        #expect(withSpans(["x"]) { pair.client.write($0) } == .failed(.brokenPipe))
        #expect(pair.client.failure == .socket(.brokenPipe))
    }

    /// Of a thread that does not block it.
    @Test func theSignalIsTakenBack() throws {
        let sockets = try Connection()
        try sockets.accepted.abort()
        try wait(sockets.dialled, for: POLLHUP)
        _ = try sockets.dialled.takeError()
        let number = sockets.dialled.number
        let result = withoutBrokenPipeSignal { Int32(write(number, "x", 1)) }
        #expect(result == -1 && usl_errno() == EPIPE)
        #expect(!SignalSet.blocked.contains(SIGPIPE))
    }

    @Test func keysChangeBeforeTheyAreWorn() throws {
        let pair = try TLSPair(ends)
        try pair.open()
        pair.client.stream.recordsUnderKey = TLSStream.maximumRecordsUnderKey
        for text in ["before", "after"] {
            #expect(withSpans([text]) { pair.client.write($0) } == .bytes(text.utf8.count))
            #expect(try received(by: pair.server) == text)
        }
        #expect(pair.client.stream.recordsUnderKey == 2)
        #expect(withSpans(["answer"]) { pair.server.write($0) } == .bytes(6))
        #expect(try received(by: pair.client) == "answer")
    }

    @Test func carriesALink() throws {
        let pair = try TLSPair(ends)
        try pair.open()
        var near = Link(tls: pair.client)
        var far = Link(tls: pair.server)
        #expect(near.security == .tls && near.peerFingerprint == ends.server.identity.fingerprint)
        #expect(withSpans(["frame", "payload"]) { near.write($0) } == .bytes(12))
        #expect(!near.hasBufferedOutput && near.flush() == nil)
        try far.withSocket { try wait($0, for: POLLIN) }
        var bytes = [UInt8](repeating: 0, count: 100)
        #expect(bytes.withUnsafeMutableBytes { far.read(into: $0) } == .bytes(12))
        #expect(String(decoding: bytes[..<12], as: UTF8.self) == "framepayload")
        #expect(far.hasBufferedInput == false)
        try near.shutdown()
        try far.withSocket { try wait($0, for: POLLIN) }
        #expect(bytes.withUnsafeMutableBytes { far.read(into: $0) } == .endOfStream)
        #expect(MemoryLayout<Link>.size <= 48)
    }
}
