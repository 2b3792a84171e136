import CLinux
import Kernel

/// The programs that the demo's hosts run: plain TCP, blocking calls, nothing known of USL.
///
///     ping-server PORT, ping-client HOST PORT SECONDS     64-byte messages, each answered by the same bytes
///     bulk-server PORT, bulk-client HOST PORT SECONDS     a stream whose content follows from its positions
///
/// A server serves one connection. Each side checks every byte that it gets. Reports go to the standard output, one a
/// line: `progress ROUNDS BYTES LONGEST-PAUSE-IN-MICROSECONDS`, at most ten a second, and at the end `verified ROUNDS BYTES
/// LONGEST-PAUSE` or `failed WHY`.
public enum DemoPeer {
    /// Runs one program.
    ///
    /// - Parameter arguments: as above.
    /// - Returns: the exit status: 0 when everything was verified, 1 when the connection failed, 2 for wrong arguments.
    public static func run(_ arguments: [String]) -> Int32 {
        var report = DemoReport()
        do throws(DemoPeerError) {
            switch (arguments.first, arguments.count) {
            case ("ping-server", 2): try pingServer(try accept(arguments[1]), &report)
            case ("bulk-server", 2): try bulkServer(try accept(arguments[1]), &report)
            case ("ping-client", 4):
                try pingClient(try connect(arguments[1], arguments[2]), try duration(arguments[3]), &report)
            case ("bulk-client", 4):
                try bulkClient(try connect(arguments[1], arguments[2]), try duration(arguments[3]), &report)
            default: throw DemoPeerError("unknown program", status: 2)
            }
        } catch {
            report.finish("failed \(error.reason)")
            return error.status
        }
        report.finish("verified")
        return 0
    }

    // MARK: - Ping-pong

    private static let messageSize = 64

    private static func pingClient(
        _ socket: borrowing Descriptor, _ duration: Duration, _ report: inout DemoReport
    ) throws(DemoPeerError) {
        var sequence = DemoSequence()
        var received = [UInt8](repeating: 0, count: messageSize)
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            let message = sequence.next(messageSize)
            try sendAll(message, socket)
            guard try receiveAll(&received, socket) == messageSize else {
                throw DemoPeerError("the connection ended early")
            }
            guard received == message else { throw DemoPeerError("an answer differs from its question") }
            report.count(rounds: 1, bytes: messageSize)
        }
        _ = shutdown(socket.number, Int32(SHUT_WR))
        guard try receiveAll(&received, socket) == 0 else { throw DemoPeerError("bytes after the last answer") }
    }

    private static func pingServer(_ socket: borrowing Descriptor, _ report: inout DemoReport) throws(DemoPeerError) {
        var sequence = DemoSequence()
        var message = [UInt8](repeating: 0, count: messageSize)
        while true {
            let count = try receiveAll(&message, socket)
            if count == 0 { return }
            guard count == messageSize, message == sequence.next(messageSize) else {
                throw DemoPeerError("a question is not the expected one")
            }
            try sendAll(message, socket)
            report.count(rounds: 1, bytes: messageSize)
        }
    }

    // MARK: - Bulk transfer

    private static let chunkSize = 64 * 1024

    private static func bulkClient(
        _ socket: borrowing Descriptor, _ duration: Duration, _ report: inout DemoReport
    ) throws(DemoPeerError) {
        var sequence = DemoSequence()
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            try sendAll(sequence.next(chunkSize), socket)
            report.count(rounds: 0, bytes: chunkSize)
        }
        // The server answers the end with the number of bytes that it has verified.
        _ = shutdown(socket.number, Int32(SHUT_WR))
        var answer = [UInt8](repeating: 0, count: 8)
        guard try receiveAll(&answer, socket) == answer.count else { throw DemoPeerError("no answer to the end") }
        let verified = answer.reduce(0) { $0 << 8 | Int($1) }
        guard verified == report.bytes else { throw DemoPeerError("\(report.bytes) bytes sent, \(verified) arrived") }
    }

    private static func bulkServer(_ socket: borrowing Descriptor, _ report: inout DemoReport) throws(DemoPeerError) {
        var sequence = DemoSequence()
        var chunk = [UInt8](repeating: 0, count: chunkSize)
        while true {
            let count = try receiveAll(&chunk, socket)
            guard chunk[..<count].elementsEqual(sequence.next(count)) else {
                throw DemoPeerError("wrong bytes after position \(report.bytes)")
            }
            report.count(rounds: 0, bytes: count)
            if count < chunkSize { break }
        }
        let total = UInt64(report.bytes)
        try sendAll((0..<8).map { UInt8(truncatingIfNeeded: total >> (56 - 8 * $0)) }, socket)
    }

    // MARK: - Sockets

    private static func accept(_ port: String) throws(DemoPeerError) -> Descriptor {
        guard let port = UInt16(port) else { throw DemoPeerError("no port", status: 2) }
        let listener = try descriptor("socket", socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0))
        var one: Int32 = 1
        setsockopt(listener.number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let any = SocketAddress(host: .v6(high: 0, low: 0, scope: 0), port: port)
        let bound = any.withSockaddr { bind(listener.number, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
        guard bound == 0, listen(listener.number, 1) == 0 else { throw .systemCall("listen") }
        return try descriptor("accept", CLinux.accept(listener.number, __SOCKADDR_ARG(__sockaddr__: nil), nil))
    }

    private static func connect(_ host: String, _ port: String) throws(DemoPeerError) -> Descriptor {
        guard let host = SocketAddress.Host(numeric: host), let port = UInt16(port) else {
            throw DemoPeerError("no address", status: 2)
        }
        let address = SocketAddress(host: host, port: port)
        let made = try descriptor("socket", socket(address.family, Int32(SOCK_STREAM.rawValue), 0))
        let connected = address.withSockaddr { CLinux.connect(made.number, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
        guard connected == 0 else { throw .systemCall("connect") }
        return made
    }

    private static func duration(_ seconds: String) throws(DemoPeerError) -> Duration {
        guard let seconds = Double(seconds), seconds > 0 else { throw DemoPeerError("no duration", status: 2) }
        return .seconds(seconds)
    }

    private static func descriptor(_ call: String, _ number: Int32) throws(DemoPeerError) -> Descriptor {
        guard number >= 0 else { throw .systemCall(call) }
        return Descriptor(owning: number)
    }

    private static func sendAll(_ bytes: [UInt8], _ socket: borrowing Descriptor) throws(DemoPeerError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(socket.number, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw .systemCall("send") }
            sent += count
        }
    }

    /// Fills `bytes`.
    ///
    /// - Returns: how many there were before the end of the stream.
    private static func receiveAll(_ bytes: inout [UInt8], _ socket: borrowing Descriptor) throws(DemoPeerError) -> Int
    {
        var received = 0
        while received < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                read(socket.number, $0.baseAddress! + received, $0.count - received)
            }
            guard count >= 0 else { throw .systemCall("read") }
            if count == 0 { break }
            received += count
        }
        return received
    }
}

struct DemoPeerError: Error {
    let reason: String
    let status: Int32

    init(_ reason: String, status: Int32 = 1) {
        self.reason = reason
        self.status = status
    }

    static func systemCall(_ name: String) -> DemoPeerError { DemoPeerError("\(name): \(errnoText())") }
}
