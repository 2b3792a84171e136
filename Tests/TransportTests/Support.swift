import CLinux
import Kernel
import SystemPackage
import Transport

struct TimedOut: Error {}

/// Waits until poll(2) reports one of `events` for a socket, at most 10 s.
func wait(_ socket: borrowing TCPSocket, for events: Int32) throws {
    var entry = pollfd(fd: socket.number, events: Int16(events), revents: 0)
    let count = try retrying { poll(&entry, 1, 10_000) }
    if count == 0 { throw TimedOut() }
}

/// Asks until the answer is yes, at most 10 s.
func eventually(_ condition: () throws -> Bool) throws {
    for _ in 0..<10_000 {
        if try condition() { return }
        usleep(1_000)
    }
    throw TimedOut()
}

/// The two ends of a TCP connection on loopback.
struct Connection: ~Copyable {
    let dialled: TCPSocket
    let accepted: TCPSocket

    init(_ host: SocketAddress.Host = .v4(0x7f00_0001), profile: LinkProfile = .local) throws {
        let listener = try TCPSocket.listen(on: SocketAddress(host: host, port: 0))
        let dialled = try TCPSocket.dial(try listener.localAddress(), profile: profile)
        let accepted = try nextConnection(at: listener)
        try wait(dialled, for: POLLOUT)
        guard try dialled.finishConnect() else { throw TimedOut() }
        self.dialled = dialled
        self.accepted = accepted
    }
}

func nextConnection(at listener: borrowing TCPSocket) throws -> TCPSocket {
    try wait(listener, for: POLLIN)
    guard let socket = try listener.accept() else { throw TimedOut() }
    return socket
}

/// Writes as much as fits of a text.
func send(_ text: String, over socket: borrowing TCPSocket) -> TransferResult {
    withSpans([text]) { socket.send($0) }
}

/// Lends texts as spans.
func withSpans<Result>(_ texts: [String], _ body: (UnsafeBufferPointer<iovec>) -> Result) -> Result {
    let buffers = texts.map { text in
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 1)
        buffer.copyBytes(from: text.utf8)
        return buffer
    }
    defer { for buffer in buffers { buffer.deallocate() } }
    return buffers.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }.withUnsafeBufferPointer(body)
}

/// Reads once, after waiting for something to read.
func receive(from socket: borrowing TCPSocket, atMost count: Int = 1000) throws -> (TransferResult, String) {
    try wait(socket, for: POLLIN)
    return withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { buffer in
        let result = socket.receive(into: buffer)
        guard case .bytes(let count) = result else { return (result, "") }
        return (result, String(decoding: buffer[..<count], as: UTF8.self))
    }
}
