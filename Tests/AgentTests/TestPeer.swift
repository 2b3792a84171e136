import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@testable import Engine

/// One end of a TCP connection, in a test's hands. Never blocks.
final class TestPeer {
    private(set) var socket: TCPSocket?
    private(set) var heard: [UInt8] = []
    private(set) var sawEnd = false
    private(set) var failure: Errno?

    init(_ socket: consuming TCPSocket) { self.socket = consume socket }

    convenience init(dialling address: SocketAddress) throws {
        self.init(try TCPSocket.dial(address, profile: .leg))
    }

    func say(_ bytes: [UInt8]) { _ = offer(bytes) }

    /// Bytes that the kernel has taken.
    func offer(_ bytes: [UInt8]) -> Int {
        let result = bytes.withUnsafeBytes { bytes in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            return withUnsafePointer(to: &vector) { socket?.send(UnsafeBufferPointer(start: $0, count: 1)) }
        }
        return if case .bytes(let count) = result { count } else { 0 }
    }

    func hasProbeMark() -> Bool {
        switch socket {
        case .some(let socket): ProbeMark.isOn(socket)
        case nil: false
        }
    }

    func finish() { try? socket?.shutdownSending() }
    func reset() { try? socket?.abort() }
    func close() { socket = nil }

    func listen() {
        var room = [UInt8](repeating: 0, count: 65_536)
        while !sawEnd, failure == nil, let result = room.withUnsafeMutableBytes({ socket?.receive(into: $0) }) {
            switch result {
            case .bytes(let count): heard += room[..<count]
            case .wouldBlock: return
            case .endOfStream: sawEnd = true
            case .failed(let code): failure = code
            }
        }
    }
}

/// A listener on loopback, in a test's hands.
final class TestListener {
    let socket: TCPSocket
    let address: SocketAddress

    init() throws {
        socket = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))
        address = try socket.localAddress()
    }

    func accept() -> TestPeer? {
        guard let accepted = try? socket.accept() else { return nil }
        return TestPeer(accepted)
    }
}

/// Turns the loop until the condition holds, at most 10 s.
func turn(
    _ loop: EventLoop, sourceLocation: SourceLocation = #_sourceLocation, until condition: () -> Bool
) throws {
    let end = ContinuousClock.now + .seconds(10)
    while !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("did not come to pass", sourceLocation: sourceLocation)
            return
        }
        loop.mailbox.post { _ in }
        loop.turn()
        usleep(50)
    }
}

/// Waits until the condition holds, at most 10 s.
func eventually(sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool) throws {
    let end = ContinuousClock.now + .seconds(10)
    while try !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("did not come to pass", sourceLocation: sourceLocation)
            return
        }
        usleep(200)
    }
}

func makeLoop() throws -> EventLoop { try EventLoop(arena: ArenaLimits(capacity: 1 << 20)) }
