/// What a client of the lab's traffic does on one connection, and asks its server to do. Both sides know every byte that
/// passes from the order alone, check it, and tell the hashes of what they sent and received.
public struct TrafficOrder: Sendable, Equatable {
    /// Names the connection, and is the seed of its content.
    public var id: UInt64
    /// Bytes from the client and from the server, which each side ends with a half-close.
    public var up = 0
    public var down = 0
    /// How much is written and read at a time, and how long each side waits in between, in microseconds: who waits long
    /// is slow.
    public var chunk = 65_536
    public var clientWritePause = 0
    public var serverWritePause = 0
    public var clientReadPause = 0
    public var serverReadPause = 0
    /// The server sends nothing before the client's end: half of the time the connection is half closed.
    public var inTurn = false
    /// When this is not zero, the rest is a ping-pong: for so many microseconds the client sends `chunk` bytes, waits for
    /// their echo, and then for `clientWritePause`.
    public var echo = 0

    public init(id: UInt64) { self.id = id }

    /// A ping-pong of `size` bytes.
    public static func pingPong(
        id: UInt64, for duration: Duration, size: Int = 64, pause: Duration = .zero
    ) -> TrafficOrder {
        var order = TrafficOrder(id: id)
        order.echo = max(1, duration.nanoseconds / 1000)
        order.chunk = size
        order.clientWritePause = pause.nanoseconds / 1000
        return order
    }

    /// As much as the path takes, in both directions at once.
    public static func bulk(id: UInt64, up: Int, down: Int) -> TrafficOrder {
        var order = TrafficOrder(id: id)
        order.up = up
        order.down = down
        return order
    }

    /// A little at a time in both directions, over `duration`.
    public static func trickle(id: UInt64, for duration: Duration, every: Duration = .milliseconds(5)) -> TrafficOrder {
        var order = TrafficOrder(id: id)
        order.chunk = 512
        order.clientWritePause = every.nanoseconds / 1000
        order.serverWritePause = order.clientWritePause
        order.up = max(1, duration.nanoseconds / max(1, every.nanoseconds)) * order.chunk
        order.down = order.up
        return order
    }

    // MARK: - As bytes, at the begin of a connection, and as text, for a command line

    private var numbers: [UInt64] {
        let counts = [
            up, down, chunk, clientWritePause, serverWritePause, clientReadPause, serverReadPause, inTurn ? 1 : 0, echo,
        ]
        return [id] + counts.map(UInt64.init)
    }

    private init?(numbers: [UInt64]) {
        guard numbers.count == 10, numbers[1...].allSatisfy({ $0 < 1 << 50 }), (1...1 << 20).contains(numbers[3]) else {
            return nil
        }
        let counts = numbers[1...].map { Int($0) }
        self.init(id: numbers[0])
        up = counts[0]
        down = counts[1]
        chunk = counts[2]
        clientWritePause = counts[3]
        serverWritePause = counts[4]
        clientReadPause = counts[5]
        serverReadPause = counts[6]
        inTurn = counts[7] != 0
        echo = counts[8]
    }

    static let encodedCount = 80

    var encoded: [UInt8] {
        numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }
    }

    init?(encoded bytes: [UInt8]) {
        guard bytes.count == Self.encodedCount else { return nil }
        self.init(
            numbers: stride(from: 0, to: bytes.count, by: 8).map { start in
                bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }
            })
    }

    public var text: String { numbers.map(String.init).joined(separator: ",") }

    public init?(text: String) { self.init(numbers: text.split(separator: ",").compactMap { UInt64($0) }) }
}

/// A random connection: what applications do, weighted towards what is hard.
extension TrafficOrder {
    /// - Parameter seconds: about how long it should last on a free path.
    public static func random(_ chance: inout LabChance, seconds: Double) -> TrafficOrder {
        let id = UInt64.random(in: 1..<1 << 48, using: &chance)
        let size = Int.random(in: 1...Int(seconds * 4_000_000), using: &chance)
        switch Int.random(in: 0..<10, using: &chance) {
        case 0, 1: return .bulk(id: id, up: size, down: Int.random(in: 0...size, using: &chance))
        case 2: return .bulk(id: id, up: 0, down: size)
        case 3:
            var order = TrafficOrder.bulk(id: id, up: size / 2, down: size / 2)
            order.inTurn = true
            return order
        case 4, 5:
            // Slow readers at both ends.
            var order = TrafficOrder.bulk(id: id, up: size / 8, down: size / 8)
            order.chunk = 16_384
            let pause = Int(seconds * 1_000_000) / max(1, size / 8 / order.chunk + 1)
            order.clientReadPause = pause
            order.serverReadPause = pause
            return order
        case 6:
            return .trickle(
                id: id, for: .seconds(seconds), every: .milliseconds(Int.random(in: 1...50, using: &chance)))
        case 7, 8:
            return .pingPong(
                id: id, for: .seconds(seconds), size: Int.random(in: 1...4096, using: &chance), pause: .milliseconds(2))
        default:
            return .bulk(
                id: id, up: Int.random(in: 0...2000, using: &chance), down: Int.random(in: 0...2000, using: &chance))
        }
    }
}
