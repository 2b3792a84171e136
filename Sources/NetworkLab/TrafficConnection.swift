import CLinux
import Kernel

/// One side of a connection that carries an order of the lab's traffic.
struct TrafficConnection: ~Copyable {
    /// What a side has to tell in the end.
    struct Outcome {
        var sent = 0
        var sentDigest = ""
        var received = 0
        var receivedDigest = ""
        /// The longest time between two moments at which bytes came, in nanoseconds; of a ping-pong, the longest trip.
        var longestPause: UInt64 = 0
        /// Of a ping-pong: how many trips, and the median of them.
        var trips: [UInt64] = []
    }

    private let socket: Descriptor
    private let order: TrafficOrder
    private let isClient: Bool
    private var outcome = Outcome()

    init(_ socket: consuming Descriptor, _ order: TrafficOrder, isClient: Bool) {
        self.socket = socket
        self.order = order
        self.isClient = isClient
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(self.socket.number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
    }

    /// Carries the order out.
    ///
    /// - Parameter pause: is told of each trip of a ping-pong: when it began, and how long it took, in nanoseconds.
    consuming func run(pause: (UInt64, UInt64) -> Void) throws(TrafficError) -> Outcome {
        if order.echo > 0 {
            if isClient { try ask(pause) } else { try echo() }
        } else {
            try transfer()
        }
        return outcome
    }

    private var ownSeed: UInt64 { isClient ? order.id : ~order.id }

    // MARK: - Both directions at once

    private mutating func transfer() throws(TrafficError) {
        var sent = TrafficContent(seed: ownSeed)
        var received = TrafficContent(seed: ~ownSeed)
        let (toSend, toReceive) = isClient ? (order.up, order.down) : (order.down, order.up)
        let writePause = UInt64(isClient ? order.clientWritePause : order.serverWritePause) * 1000
        let readPause = UInt64(isClient ? order.clientReadPause : order.serverReadPause) * 1000
        var buffer = [UInt8](repeating: 0, count: order.chunk)
        var pending = 0..<0
        var nextWrite: UInt64 = 0
        var nextRead: UInt64 = 0
        var lastBytes = labNow()
        var (hasEnded, hasSeenEnd) = (false, false)
        while !hasEnded || !hasSeenEnd {
            let now = labNow()
            let mayWrite = !hasEnded && (isClient || !order.inTurn || hasSeenEnd)
            var events: Int32 = 0
            if mayWrite, now >= nextWrite { events |= Int32(POLLOUT) }
            if !hasSeenEnd, now >= nextRead { events |= Int32(POLLIN) }
            let waits = [mayWrite ? nextWrite : 0, hasSeenEnd ? 0 : nextRead].filter { $0 > now }
            let ready = try poll(events, until: waits.min())
            if ready & Int32(POLLIN | POLLHUP | POLLERR) != 0, !hasSeenEnd, now >= nextRead {
                let count = try receive(&received, limit: order.chunk)
                let time = labNow()
                outcome.longestPause = max(outcome.longestPause, time - lastBytes)
                lastBytes = time
                nextRead = time + readPause
                if count == 0 {
                    hasSeenEnd = true
                    guard received.count == toReceive else {
                        throw TrafficError("end after \(received.count) of \(toReceive) bytes")
                    }
                }
            }
            guard events & Int32(POLLOUT) != 0, ready & Int32(POLLOUT | POLLERR) != 0 else { continue }
            if pending.isEmpty {
                let count = min(order.chunk, toSend - sent.count)
                buffer.withUnsafeMutableBytes { sent.fill(UnsafeMutableRawBufferPointer(rebasing: $0[..<count])) }
                pending = 0..<count
            }
            if !pending.isEmpty {
                let count = buffer.withUnsafeBytes { bytes in
                    let count = send(
                        socket.number, bytes.baseAddress! + pending.lowerBound, pending.count,
                        Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                    if count > 0 {
                        let start = pending.lowerBound
                        sent.record(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
                    }
                    return count
                }
                if count < 0, usl_errno() != EAGAIN { throw .systemCall("send") }
                pending = pending.lowerBound + max(0, count)..<pending.upperBound
                if pending.isEmpty { nextWrite = labNow() + writePause }
            }
            if pending.isEmpty, sent.count == toSend {
                hasEnded = true
                shutdown(socket.number, Int32(SHUT_WR))
            }
        }
        (outcome.sent, outcome.received) = (sent.count, received.count)
        outcome.sentDigest = sent.digest()
        outcome.receivedDigest = received.digest()
    }

    // MARK: - Ping-pong

    private mutating func ask(_ pause: (UInt64, UInt64) -> Void) throws(TrafficError) {
        var sent = TrafficContent(seed: ownSeed)
        var received = TrafficContent(seed: ownSeed)
        var message = [UInt8](repeating: 0, count: order.chunk)
        let end = labNow() + UInt64(order.echo) * 1000
        while labNow() < end {
            message.withUnsafeMutableBytes { sent.fill($0) }
            let begin = labNow()
            try sendAll(message, &sent)
            let goal = sent.count
            while received.count < goal {
                guard try receive(&received, limit: goal - received.count, wait: true) > 0 else {
                    throw TrafficError("end after \(received.count) of \(goal) bytes")
                }
            }
            let length = labNow() - begin
            outcome.trips.append(length)
            outcome.longestPause = max(outcome.longestPause, length)
            pause(begin, length)
            if order.clientWritePause > 0 { NetworkLab.pause(.microseconds(order.clientWritePause)) }
        }
        shutdown(socket.number, Int32(SHUT_WR))
        guard try receive(&received, limit: 1, wait: true) == 0 else {
            throw TrafficError("bytes after the last answer")
        }
        (outcome.sent, outcome.received) = (sent.count, received.count)
        outcome.sentDigest = sent.digest()
        outcome.receivedDigest = received.digest()
    }

    private mutating func echo() throws(TrafficError) {
        var sent = TrafficContent(seed: ~ownSeed)
        var received = TrafficContent(seed: ~ownSeed)
        var message = [UInt8](repeating: 0, count: order.chunk)
        while true {
            let count = try receive(&received, limit: order.chunk, wait: true)
            if count == 0 { break }
            // What was received was as expected, so that the same content can be made again.
            message.withUnsafeMutableBytes { sent.fill(UnsafeMutableRawBufferPointer(rebasing: $0[..<count])) }
            try sendAll(Array(message[..<count]), &sent)
        }
        shutdown(socket.number, Int32(SHUT_WR))
        (outcome.sent, outcome.received) = (sent.count, received.count)
        outcome.sentDigest = sent.digest()
        outcome.receivedDigest = received.digest()
    }

    // MARK: - The socket

    private borrowing func poll(_ events: Int32, until time: UInt64?) throws(TrafficError) -> Int32 {
        var entry = pollfd(fd: socket.number, events: Int16(events), revents: 0)
        // Errors and hang-ups are always told: while nothing is wanted, the time alone counts.
        if events == 0 { entry.fd = -1 }
        let result: Int32
        if let time {
            let rest = Int(clamping: time) - Int(labNow())
            var limit = timespec(tv_sec: max(0, rest) / 1_000_000_000, tv_nsec: max(0, rest) % 1_000_000_000)
            result = ppoll(&entry, 1, &limit, nil)
        } else {
            result = ppoll(&entry, 1, nil, nil)
        }
        guard result >= 0 || usl_errno() == EINTR else { throw .systemCall("poll") }
        return Int32(entry.revents)
    }

    /// Reads what is there and compares it with what it must be.
    ///
    /// - Returns: how many bytes; 0 at the end.
    private borrowing func receive(
        _ content: inout TrafficContent, limit: Int, wait: Bool = false
    ) throws(TrafficError) -> Int {
        var buffer = [UInt8](repeating: 0, count: limit)
        var expected = [UInt8](repeating: 0, count: limit)
        var count = -1
        repeat {
            count = recv(socket.number, &buffer, limit, wait ? 0 : Int32(MSG_DONTWAIT))
        } while count < 0 && usl_errno() == EINTR
        if count < 0 { throw .systemCall("receive after \(content.count) bytes") }
        let position = content.count
        expected.withUnsafeMutableBytes { content.fill(UnsafeMutableRawBufferPointer(rebasing: $0[..<count])) }
        buffer.withUnsafeBytes { content.record(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        guard buffer[..<count] == expected[..<count] else {
            throw TrafficError("wrong bytes after position \(position)")
        }
        return count
    }

    private borrowing func sendAll(_ bytes: [UInt8], _ content: inout TrafficContent) throws(TrafficError) {
        bytes.withUnsafeBytes { content.record($0) }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(socket.number, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
            }
            if count < 0, usl_errno() == EINTR { continue }
            guard count > 0 else { throw .systemCall("send") }
            done += count
        }
    }
}

struct TrafficError: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }

    static func systemCall(_ name: String) -> TrafficError { TrafficError("\(name): \(errnoText())") }
}

/// `CLOCK_MONOTONIC`, in nanoseconds: the same for all hosts of a lab.
public func labNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
