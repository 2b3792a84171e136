import CLinux
import Kernel
import SystemPackage
import Transport

@testable import Engine

/// The network between two ends: a relay that breaks connections at a byte, holds them up, and lets them go on.
final class TestPath {
    private final class Connection {
        let near: TCPSocket
        let far: TCPSocket
        var queues: [[UInt8]] = [[], []]
        var ends = [false, false]
        /// Bytes that may still pass, both directions together.
        var allowance: Int

        init(_ near: consuming TCPSocket, _ far: consuming TCPSocket, allowance: Int) {
            self.near = near
            self.far = far
            self.allowance = allowance
        }
    }

    let address: SocketAddress
    /// Bytes that pass before a connection is reset, for the next connections in turn; later ones are not cut.
    var cuts: [Int]
    /// Nothing passes, and nothing is read.
    var isStalled = false
    /// Most that passes at a time.
    var chunk = 32 << 10
    private(set) var accepted = 0
    private let listener: TCPSocket
    private let target: SocketAddress
    private var connections: [Connection] = []

    init(to target: SocketAddress, cuts: [Int]) throws {
        self.target = target
        self.cuts = cuts
        listener = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))
        address = try listener.localAddress()
    }

    /// Resets every connection now.
    func cut() {
        for connection in connections { reset(connection) }
        connections = []
    }

    /// Moves what can be moved.
    ///
    /// - Returns: whether anything has moved.
    func pump() throws -> Bool {
        guard !isStalled else { return false }
        var moved = false
        while let near = try listener.accept() {
            let far = try TCPSocket.dial(target, profile: .local)
            accepted += 1
            connections.append(
                Connection(near, far, allowance: cuts.isEmpty ? .max : cuts.removeFirst()))
            moved = true
        }
        connections.removeAll { connection in
            let isAlive = move(connection, &moved)
            if !isAlive { reset(connection) }
            return !isAlive
        }
        return moved
    }

    private func move(_ connection: Connection, _ moved: inout Bool) -> Bool {
        guard (try? connection.far.finishConnect()) == true else { return true }
        return move(connection, 0, from: connection.near, to: connection.far, &moved)
            && move(connection, 1, from: connection.far, to: connection.near, &moved)
    }

    private func move(
        _ connection: Connection, _ direction: Int, from: borrowing TCPSocket, to: borrowing TCPSocket,
        _ moved: inout Bool
    ) -> Bool {
        if connection.queues[direction].isEmpty, !connection.ends[direction] {
            var room = [UInt8](repeating: 0, count: chunk)
            switch room.withUnsafeMutableBytes({ from.receive(into: $0) }) {
            case .bytes(let count):
                let passed = min(count, connection.allowance)
                connection.allowance -= passed
                connection.queues[direction] = [UInt8](room[..<passed])
            case .wouldBlock: break
            case .endOfStream:
                connection.ends[direction] = true
                _ = try? to.shutdownSending()
            case .failed: return false
            }
        }
        if !connection.queues[direction].isEmpty {
            let result = connection.queues[direction].withUnsafeBytes { bytes in
                var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                return withUnsafePointer(to: &vector) { to.send(UnsafeBufferPointer(start: $0, count: 1)) }
            }
            switch result {
            case .bytes(let count):
                moved = true
                connection.queues[direction].removeFirst(count)
            case .wouldBlock, .endOfStream: break
            case .failed: return false
            }
        }
        return connection.allowance > 0 && !connection.ends.allSatisfy { $0 }
    }

    private func reset(_ connection: Connection) {
        guard !connection.ends.allSatisfy({ $0 }) else { return }
        _ = try? connection.near.abort()
        _ = try? connection.far.abort()
    }
}
