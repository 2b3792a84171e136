import CLinux
import Kernel
import SystemPackage

/// The programs of the lab's traffic, unmodified applications both: they know nothing of sessions. A line each goes to the
/// standard output:
///
///     pause ID BEGIN LENGTH                                     a trip of a ping-pong that took long (nanoseconds)
///     tick ID TIME                                              another trip is done; told some times a second, if at all
///     done ID SENT SHA-256 RECEIVED SHA-256 LONGEST-PAUSE TRIPS MEDIAN
///     failed ID REASON
///     stranger 0 BYTES                                          somebody connected and sent no order
public enum TrafficPeer {
    /// What a client tells of its trips while it runs.
    public struct Telling: Sendable {
        /// Trips that take as long are told one by one, in nanoseconds.
        public var notable: UInt64 = 20_000_000
        /// How often it tells that it goes on, in nanoseconds.
        public var ticks: UInt64?

        public init() {}
    }

    /// Serves connections until it is ended.
    public static func serve(port: UInt16) -> Int32 {
        do throws(TrafficError) {
            let listener = try listen(port)
            say("serving")
            while true {
                let number = usl_accept(listener.number, Int32(SOCK_CLOEXEC.rawValue))
                guard number >= 0 else { continue }
                LabThread.start { answer(number) }
            }
        } catch {
            say("failed 0 \(error.reason)")
            return 1
        }
    }

    private static func answer(_ number: Int32) {
        let socket = Descriptor(owning: number)
        var bytes = [UInt8](repeating: 0, count: TrafficOrder.encodedCount)
        let count = recv(number, &bytes, bytes.count, Int32(MSG_WAITALL))
        // Who opens a connection and is gone before the first byte has lost none: an agent may ask twice for its program.
        guard count == bytes.count, let order = TrafficOrder(encoded: bytes) else {
            return say("stranger 0 \(count) bytes")
        }
        tell(order, TrafficConnection(socket, order, isClient: false))
    }

    /// Carries out the orders, all at once.
    ///
    /// - Returns: the exit status: 0 when every byte was as expected.
    public static func run(
        _ orders: [TrafficOrder], host: String, port: UInt16, telling: Telling = Telling()
    ) -> Int32 {
        guard let host = SocketAddress.Host(numeric: host) else { return 2 }
        let address = SocketAddress(host: host, port: port)
        let threads = orders.map { order in LabThread.start { connect(order, to: address, telling) } }
        for thread in threads { thread.join() }
        return threads.allSatisfy(\.hasSucceeded) ? 0 : 1
    }

    /// Carries out random orders, `connections` at a time, for some seconds.
    ///
    /// - Returns: the exit status: 0 when every byte was as expected.
    public static func mix(seed: UInt64, connections: Int, seconds: Int, host: String, port: UInt16) -> Int32 {
        guard let host = SocketAddress.Host(numeric: host) else { return 2 }
        let address = SocketAddress(host: host, port: port)
        let end = labNow() + UInt64(seconds) * 1_000_000_000
        let threads = (0..<connections).map { number in
            LabThread.start {
                var chance = LabChance(seed: seed &+ UInt64(number) &* 0x1000_0001)
                var hasSucceeded = true
                while labNow() < end {
                    let length = Double.random(in: 0.05...4, using: &chance)
                    if !connect(.random(&chance, seconds: length), to: address, Telling()) { hasSucceeded = false }
                    pause(.milliseconds(Int.random(in: 0...200, using: &chance)))
                }
                return hasSucceeded
            }
        }
        for thread in threads { thread.join() }
        return threads.allSatisfy(\.hasSucceeded) ? 0 : 1
    }

    /// - Returns: whether every byte was as expected.
    private static func connect(_ order: TrafficOrder, to address: SocketAddress, _ telling: Telling) -> Bool {
        let number = socket(address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { return fail(order, "socket: \(errnoText())") }
        let made = Descriptor(owning: number)
        // By the library, so that a preloaded one has its say.
        let connected = address.withSockaddr { CLinux.connect(number, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
        guard connected == 0 else { return fail(order, "connect: \(errnoText())") }
        let bytes = order.encoded
        guard send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            return fail(order, "send: \(errnoText())")
        }
        return tell(order, TrafficConnection(made, order, isClient: true), telling)
    }

    /// - Returns: whether it went well.
    @discardableResult
    private static func tell(
        _ order: TrafficOrder, _ connection: consuming TrafficConnection, _ telling: Telling = Telling()
    ) -> Bool {
        var nextTick: UInt64 = 0
        do throws(TrafficError) {
            let outcome = try connection.run { begin, length in
                if length >= telling.notable { say("pause \(order.id) \(begin) \(length)") }
                guard let ticks = telling.ticks, begin + length >= nextTick else { return }
                nextTick = begin + length + ticks
                say("tick \(order.id) \(begin + length)")
            }
            let median = outcome.trips.isEmpty ? 0 : outcome.trips.sorted()[outcome.trips.count / 2]
            say(
                "done \(order.id) \(outcome.sent) \(outcome.sentDigest) \(outcome.received) \(outcome.receivedDigest) "
                    + "\(outcome.longestPause) \(outcome.trips.count) \(median)")
            return true
        } catch {
            return fail(order, error.reason)
        }
    }

    private static func fail(_ order: TrafficOrder, _ reason: String) -> Bool {
        say("failed \(order.id) \(reason)")
        return false
    }

    static func listen(_ port: UInt16) throws(TrafficError) -> Descriptor {
        let number = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw .systemCall("socket") }
        let listener = Descriptor(owning: number)
        var one: Int32 = 1
        setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let any = SocketAddress(host: .v6(high: 0, low: 0, scope: 0), port: port)
        guard any.withSockaddr({ usl_bind(number, $0, $1) }) == 0, CLinux.listen(number, 1024) == 0 else {
            throw .systemCall("listen")
        }
        return listener
    }

    static func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(STDOUT_FILENO, bytes, bytes.count)
    }
}
