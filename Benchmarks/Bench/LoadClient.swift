import CLinux
import Kernel
import NetworkLab

/// The client of the load generator. It tells `ready` when it is connected, a moment later begins, tells its outcome, and stays, with
/// all its connections, until it is ended: so the processes of relays that live as long as a connection can be looked at.
struct LoadClient {
    let target: SocketAddress
    /// Each on a thread of its own.
    let connections: Int
    let seconds: Double

    /// Between `ready` and the beginning: in it, whoever measures looks at what processes have used so far.
    private static let calm: UInt64 = 60_000_000

    /// Writes as much as the way takes, `size` bytes at a time.
    ///
    /// - Parameter both: whether the server does the same.
    func bulk(_ size: Int, both: Bool) throws {
        let all = try (0..<connections).map { _ in try LoadConnection(to: target) }
        for connection in all { try connection.send((both ? LoadOrder.exchange : .take).rawValue) }
        let begin = announce()
        let end = begin + duration
        let workers = try all.map { connection in
            try Worker { () throws(LoadFailure) in
                try Self.carry(connection, size, both: both, until: end)
            }
        }
        let bytes = try workers.reduce(into: UInt64(0)) { $0 += try $1.result() }
        tell("bulk \(begin) \(labNow()) \(bytes)")
        stay(all)
    }

    private static func carry(
        _ connection: LoadConnection, _ size: Int, both: Bool, until end: UInt64
    ) throws(LoadFailure) -> UInt64 {
        var returned: UInt64 = 0
        let taking = both ? try Worker { () throws(LoadFailure) in try connection.takeAll() } : nil
        let sent = try connection.give(size) { labNow() < end }
        if let taking {
            returned = try taking.result()
            try connection.send(1)
        }
        // The order's byte is none of them.
        let counted = try connection.receiveCount()
        guard counted == sent else { throw LoadFailure(reason: "\(sent) bytes were sent, \(counted) have come") }
        return sent + returned
    }

    /// Sends a message and waits until it has come back, again and again.
    ///
    /// - Parameter besideBulk: whether another connection writes as much as the way takes meanwhile.
    func ping(_ size: Int, besideBulk: Bool) throws {
        let all = try (0..<connections).map { _ in try LoadConnection(to: target) }
        let neighbours = try besideBulk ? [LoadConnection(to: target)] : []
        for connection in all { try connection.send(LoadOrder.echo.rawValue) }
        for neighbour in neighbours { try neighbour.send(LoadOrder.take.rawValue) }
        for connection in all { _ = try Self.trips(connection, size) { $0 < 50 } }
        let begin = announce()
        let end = begin + duration
        let bulk = try neighbours.map { neighbour in
            try Worker { () throws(LoadFailure) in
                try Self.carry(neighbour, LoadConnection.bufferSize, both: false, until: end)
            }
        }
        let workers = try all.map { connection in
            try Worker { () throws(LoadFailure) in try Self.trips(connection, size) { _ in labNow() < end } }
        }
        let trips = try workers.reduce(into: Histogram()) { $0.add(try $1.result()) }
        for worker in bulk { _ = try worker.result() }
        tell("trips \(begin) \(labNow()) \(Self.text(trips))")
        stay(all + neighbours)
    }

    private static func trips(
        _ connection: LoadConnection, _ size: Int, while goesOn: (Int) -> Bool
    ) throws(LoadFailure) -> Histogram {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        var trips = Histogram()
        while goesOn(trips.count) {
            let begin = labNow()
            try connection.send(UnsafeRawBufferPointer(buffer))
            guard try connection.receive(into: buffer, all: true) == size else {
                throw LoadFailure(reason: "the stream ended early")
            }
            trips.record(labNow() - begin)
        }
        return trips
    }

    /// Connects, asks for a byte and gets it, again and again: `count` times on each thread at most.
    func connect(_ count: Int) throws {
        let begin = announce()
        let end = begin + duration
        let target = target
        let workers = try (0..<connections).map { _ in
            try Worker { () throws(LoadFailure) in
                var times = Histogram()
                while times.count < count, labNow() < end { times.record(try Self.connectOnce(to: target)) }
                return times
            }
        }
        let times = try workers.reduce(into: Histogram()) { $0.add(try $1.result()) }
        tell("trips \(begin) \(labNow()) \(Self.text(times))")
        stay([])
    }

    private static func connectOnce(to target: SocketAddress) throws(LoadFailure) -> UInt64 {
        let begin = labNow()
        let connection = try LoadConnection(to: target)
        try connection.send(LoadOrder.once.rawValue)
        var byte: UInt8 = 0
        let count = try withUnsafeMutableBytes(of: &byte) { bytes throws(LoadFailure) in
            try connection.receive(into: bytes)
        }
        guard count == 1 else { throw LoadFailure(reason: "the stream ended early") }
        return labNow() - begin
    }

    // MARK: - Telling

    private var duration: UInt64 { UInt64(seconds * 1e9) }

    /// - Returns: when it begins.
    private func announce() -> UInt64 {
        tell("ready")
        let begin = labNow() + Self.calm
        Self.rest(until: begin)
        return begin
    }

    private func stay(_ connections: [LoadConnection]) {
        withExtendedLifetime(connections) { Self.rest(until: labNow() + 20_000_000_000) }
    }

    private static func rest(until end: UInt64) {
        let now = labNow()
        guard end > now else { return }
        var left = timespec(tv_sec: Int((end - now) / 1_000_000_000), tv_nsec: Int((end - now) % 1_000_000_000))
        nanosleep(&left, nil)
    }

    private static func text(_ times: Histogram) -> String {
        "\(times.count) \(times.percentile(0.5)) \(times.percentile(0.99)) \(times.percentile(0.999)) \(times.most)"
    }
}

/// What a client has told.
enum LoadOutcome {
    /// Times in nanoseconds of `labNow`.
    case bulk(begin: UInt64, end: UInt64, bytes: UInt64)
    case trips(begin: UInt64, end: UInt64, count: Int, median: Int, p99: Int, p999: Int, most: Int)

    /// Nil while it has told nothing.
    init?(_ output: String) {
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            let numbers = words.dropFirst().compactMap { Int($0) }
            switch (words.first, numbers.count) {
            case ("bulk", 3):
                self = .bulk(begin: UInt64(numbers[0]), end: UInt64(numbers[1]), bytes: UInt64(numbers[2]))
                return
            case ("trips", 7):
                self = .trips(
                    begin: UInt64(numbers[0]), end: UInt64(numbers[1]), count: numbers[2], median: numbers[3],
                    p99: numbers[4], p999: numbers[5], most: numbers[6])
                return
            default: continue
            }
        }
        return nil
    }

    var begin: UInt64 {
        switch self {
        case .bulk(let begin, _, _): begin
        case .trips(let begin, _, _, _, _, _, _): begin
        }
    }
}
