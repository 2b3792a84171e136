import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

private let loopback = SocketAddress(host: .v4(0x7f00_0001), port: 0)
private let hosts: [SocketAddress.Host] = [.v4(0x7f00_0001), .v6(high: 0, low: 1, scope: 0)]

@Suite struct TCPSocketTests {
    @Test(arguments: hosts) func connects(host: SocketAddress.Host) throws {
        let connection = try Connection(host)
        let (near, far) = (try connection.dialled.localAddress(), try connection.dialled.remoteAddress())
        #expect(near.host == host && far.host == host)
        let (local, remote) = (try connection.accepted.localAddress(), try connection.accepted.remoteAddress())
        #expect(local == far && remote == near)
        let flags = usl_fcntl(connection.accepted.number, F_GETFL, 0)
        #expect(flags & O_NONBLOCK != 0)
    }

    @Test func connectsFromAnAddress() throws {
        let listener = try TCPSocket.listen(on: loopback)
        let source = SocketAddress.Host.v4(0x7f00_0009)
        let dialled = try TCPSocket.dial(listener.localAddress(), from: .address(source), profile: .local)
        let accepted = try nextConnection(at: listener)
        let remote = try accepted.remoteAddress()
        #expect(remote.host == source && remote.port != 0)
        let local = try dialled.localAddress()
        #expect(local == remote)
    }

    @Test func reportsARefusal() throws {
        // Bound and not listening, so that nobody else takes the port either.
        let reserved = try TCPSocket(family: AF_INET)
        let any = loopback.withSockaddr { usl_bind(reserved.number, $0, $1) }
        try check(any)
        let address = try reserved.localAddress()
        let error = #expect(throws: Errno.self) {
            let socket = try TCPSocket.dial(address, profile: .local)
            try wait(socket, for: POLLOUT)
            _ = try socket.finishConnect()
        }
        #expect(error == .connectionRefused)
    }

    /// SYN_SENT has neither an error nor a peer. A listener whose queue is full leaves the dialler there.
    @Test func aPendingConnectIsNotFinished() throws {
        let listener = try TCPSocket.listen(on: loopback, backlog: 0)
        let address = try listener.localAddress()
        let plug = try TCPSocket.dial(address, profile: .local)
        try wait(plug, for: POLLOUT)
        let waiting = try TCPSocket.dial(address, profile: .local)
        let isConnected = try waiting.finishConnect()
        #expect(!isConnected)
        _ = try nextConnection(at: listener)
    }

    /// Loopback dials that ask for TCP Fast Open connect, whatever the kernel's mind is; with a cookie, by the first write.
    @Test func opensFastWhereItCan() throws {
        let listener = try TCPSocket.listen(on: loopback)
        try listener.takeFastOpen(queue: 16)
        let address = try listener.localAddress()
        for _ in 0..<3 {
            let dialled = try TCPSocket.dial(address, profile: .local, fastOpen: true)
            try wait(dialled, for: POLLOUT)
            let isConnected = try dialled.finishConnect()
            #expect(send("first words", over: dialled) == .bytes(11))
            let accepted = try nextConnection(at: listener)
            let (result, text) = try receive(from: accepted)
            #expect(result == .bytes(11) && text == "first words")
            // Writable for the first write, and again when the SYN is answered.
            if !isConnected { try eventually { try dialled.finishConnect() } }
        }
    }

    @Test func listenersSayWhatIsWrong() throws {
        let listener = try TCPSocket.listen(on: loopback)
        let address = try listener.localAddress()
        let inUse = #expect(throws: ListenError.self) { _ = try TCPSocket.listen(on: address) }
        #expect(inUse?.description == "cannot listen on \(address): the port is in use")
        // 192.0.2.0/24 is for documentation and never an address of this host (RFC 5737).
        let foreign = SocketAddress(host: .v4(0xc000_0201), port: 0)
        let notHere = #expect(throws: ListenError.self) { _ = try TCPSocket.listen(on: foreign) }
        #expect(notHere?.description == "cannot listen on 192.0.2.1:0: this host has no such address")
    }

    @Test func ipv6ListenersLeaveIPv4Alone() throws {
        let listener = try TCPSocket.listen(on: SocketAddress(host: .v6(high: 0, low: 0, scope: 0), port: 0))
        var isV6Only: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(listener.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &isV6Only, &length)
        #expect(isV6Only == 1)
    }

    @Test func acceptsAllThatWait() throws {
        let listener = try TCPSocket.listen(on: loopback)
        let address = try listener.localAddress()
        let first = try TCPSocket.dial(address, profile: .local)
        let second = try TCPSocket.dial(address, profile: .local)
        try wait(first, for: POLLOUT)
        try wait(second, for: POLLOUT)
        var count = 0
        try eventually {
            while let socket = try listener.accept() {
                _ = consume socket
                count += 1
            }
            return count == 2
        }
    }

    @Test func gathersAndScatters() throws {
        let connection = try Connection()
        let written = withSpans(["header", "", "payload"]) { connection.dialled.send($0) }
        #expect(written == .bytes(13))
        try eventually { try connection.accepted.unreadBytes() == 13 }
        var bytes = [UInt8](repeating: 0, count: 20)
        let read = bytes.withUnsafeMutableBytes {
            connection.accepted.receive(
                into: iovec(iov_base: $0.baseAddress! + 15, iov_len: 5),
                iovec(iov_base: $0.baseAddress, iov_len: 15))
        }
        #expect(read == .bytes(13))
        #expect(String(decoding: bytes[15...] + bytes[..<8], as: UTF8.self) == "headerpayload")
        let empty = bytes.withUnsafeMutableBytes { connection.accepted.receive(into: $0) }
        #expect(empty == .wouldBlock)
    }

    @Test func writesUntilTheBufferIsFull() throws {
        let connection = try Connection()
        let text = String(repeating: "x", count: 1 << 20)
        var result = TransferResult.bytes(0)
        var total = 0
        for _ in 0..<1000 {
            result = send(text, over: connection.dialled)
            guard case .bytes(let count) = result else { break }
            total += count
        }
        #expect(result == .wouldBlock)
        try eventually {
            try connection.accepted.unreadBytes() + connection.dialled.unacknowledgedBytes() == total
        }
    }

    @Test func halfCloses() throws {
        let connection = try Connection()
        #expect(send("last", over: connection.dialled) == .bytes(4))
        try connection.dialled.shutdownSending()
        let (_, text) = try receive(from: connection.accepted)
        #expect(text == "last")
        let (end, _) = try receive(from: connection.accepted)
        #expect(end == .endOfStream)
        #expect(send("still open", over: connection.accepted) == .bytes(10))
        let (_, answer) = try receive(from: connection.dialled)
        #expect(answer == "still open")
    }

    @Test func abortsPastACopy() throws {
        let connection = try Connection()
        let copy = usl_fcntl(connection.dialled.number, F_DUPFD_CLOEXEC, 0)
        defer { close(copy) }
        try connection.dialled.abort()
        let (result, _) = try receive(from: connection.accepted)
        #expect(result == .failed(.connectionReset))
    }

    @Test func resetsOnCloseUntilLifted() throws {
        for resets in [true, false] {
            let connection = try Connection()
            try connection.dialled.setResetOnClose(true)
            if !resets { try connection.dialled.setResetOnClose(false) }
            let copy = usl_fcntl(connection.accepted.number, F_DUPFD_CLOEXEC, 0)
            let accepted = TCPSocket(owning: Descriptor(owning: copy))
            _ = consume connection
            let (result, _) = try receive(from: accepted)
            #expect(result == (resets ? .failed(.connectionReset) : .endOfStream))
        }
    }

    @Test func countsPositions() throws {
        let connection = try Connection()
        #expect(send("12345", over: connection.dialled) == .bytes(5))
        try eventually {
            let (near, far) = (try connection.dialled.info(), try connection.accepted.info())
            // The SYN counts on the side that sent it (design, crash safety).
            return near.bytes_acked == 6 && far.bytes_received == 5 && near.state == UInt8(TCP_ESTABLISHED)
        }
        let unread = try connection.accepted.unreadBytes()
        #expect(unread == 5)
    }

    @Test func keepsUrgentBytes() throws {
        let connection = try Connection()
        try connection.accepted.keepUrgentBytesInline()
        #expect(CLinux.send(connection.dialled.number, "abc", 3, Int32(MSG_OOB)) == 3)
        try eventually { try connection.accepted.unreadBytes() == 3 }
        var text = ""
        while text.utf8.count < 3 { text += try receive(from: connection.accepted).1 }
        #expect(text == "abc")
    }
}
