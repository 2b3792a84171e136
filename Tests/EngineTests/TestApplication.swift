import CLinux
import Kernel
import SystemPackage
import Transport

@testable import Engine

/// An application at one end: writes what it has to say, and compares what it hears.
final class TestApplication {
    /// What it is to hear, or the beginning of it.
    private let expected: [UInt8]
    private let output: [UInt8]
    private var socket: TCPSocket?
    private(set) var written = 0
    private(set) var heard = 0
    private(set) var isWrong = false
    private(set) var sawEnd = false
    private(set) var failure: Errno?
    /// Whether it reads at all.
    var reads = true
    /// Whether it ends its direction behind its output.
    var finishes = true
    private var hasFinished = false

    init(_ socket: consuming TCPSocket, says output: [UInt8], hears expected: [UInt8]) {
        self.socket = consume socket
        self.output = output
        self.expected = expected
    }

    /// Everything was heard, and the end behind it.
    var isSatisfied: Bool { heard == expected.count && sawEnd && !isWrong }

    /// Resets its connection, as a crash would with bytes unread.
    func reset() {
        _ = try? socket?.abort()
        socket = nil
    }

    func send(urgent byte: UInt8) {
        var byte = byte
        if let number = socket?.number { _ = CLinux.send(number, &byte, 1, Int32(MSG_OOB)) }
    }

    /// - Returns: whether anything has moved.
    func pump() -> Bool {
        var moved = false
        while written < output.count, failure == nil, let number = socket?.number {
            let count = output.withUnsafeBytes {
                CLinux.send(
                    number, $0.baseAddress! + written, min($0.count - written, 64 << 10),
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count < 0, usl_errno() != EAGAIN { failure = Errno(rawValue: usl_errno()) }
            guard count > 0 else { break }
            written += count
            moved = true
        }
        if written == output.count, finishes, !hasFinished {
            hasFinished = true
            try? socket?.shutdownSending()
        }
        var room = [UInt8](repeating: 0, count: 64 << 10)
        while reads, !sawEnd, failure == nil,
            let result = room.withUnsafeMutableBytes({ socket?.receive(into: $0) })
        {
            switch result {
            case .bytes(let count):
                let fits = heard + count <= expected.count
                isWrong = isWrong || !fits || room[..<count] != expected[heard..<heard + count]
                heard += count
                moved = true
            case .wouldBlock: return moved
            case .endOfStream: sawEnd = true
            case .failed(let code): failure = code
            }
        }
        return moved
    }
}

/// The two ends of a TCP connection on loopback: an application's, and the leg of its session.
struct LegPair: ~Copyable {
    let application: TCPSocket
    let leg: TCPSocket

    init() throws {
        let listener = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))
        let application = try TCPSocket.dial(try listener.localAddress(), profile: .leg)
        var entry = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
        _ = try retrying { poll(&entry, 1, 10_000) }
        guard let leg = try listener.accept() else { throw Errno.timedOut }
        try leg.setResetOnClose(true)
        self.application = application
        self.leg = leg
    }
}
