import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@Suite struct LinkTests {
    private func read(_ link: inout Link) -> (TransferResult, String) {
        withUnsafeTemporaryAllocation(byteCount: 100, alignment: 1) { buffer in
            let result = link.read(into: buffer)
            guard case .bytes(let count) = result else { return (result, "") }
            return (result, String(decoding: buffer[..<count], as: UTF8.self))
        }
    }

    @Test func firstByteTellsTheKind() {
        #expect(LinkSecurity(firstByte: 0x55) == .plain)
        #expect(LinkSecurity(firstByte: 0x16) == .tls)
        #expect(LinkSecurity(firstByte: UInt8(ascii: "G")) == nil)
    }

    @Test func carriesSpans() throws {
        let listener = try TCPSocket.listen(on: SocketAddress(host: .v4(0x7f00_0001), port: 0))
        var link = Link(plain: try TCPSocket.dial(listener.localAddress(), profile: .local))
        let peer = try nextConnection(at: listener)
        try link.withSocket { try wait($0, for: POLLOUT) }
        let written = withSpans(["frame", "payload"]) { link.write($0) }
        #expect(written == .bytes(12))
        let (_, text) = try receive(from: peer)
        #expect(text == "framepayload")
        #expect(read(&link) == (.wouldBlock, ""))
        try peer.shutdownSending()
        try link.withSocket { try wait($0, for: POLLIN) }
        #expect(read(&link) == (.endOfStream, ""))
    }

    /// Bytes that arrived before a reset can be read, whoever notices the reset first, and then the link is broken for good: the
    /// kernel itself would report an end of file from the second time on.
    @Test(arguments: [false, true]) func aResetStaysAReset(writesFirst: Bool) throws {
        let listener = try TCPSocket.listen(on: SocketAddress(host: .v4(0x7f00_0001), port: 0))
        var link = Link(plain: try TCPSocket.dial(listener.localAddress(), profile: .local))
        let peer = try nextConnection(at: listener)
        #expect(send("before", over: peer) == .bytes(6))
        try link.withSocket { socket in try eventually { try socket.unreadBytes() == 6 } }
        try peer.abort()
        try link.withSocket { try wait($0, for: POLLHUP) }
        if writesFirst {
            let result = withSpans(["x"]) { link.write($0) }
            #expect(result == .failed(.connectionReset))
        }
        #expect(read(&link) == (.bytes(6), "before"))
        #expect(read(&link) == (.failed(.connectionReset), ""))
        #expect(read(&link) == (.failed(.connectionReset), ""))
        let result = withSpans(["x"]) { link.write($0) }
        #expect(result == .failed(.connectionReset))
    }
}
