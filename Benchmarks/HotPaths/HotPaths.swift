import Engine
import SessionProtocol

/// Goes along one of the core's hot paths as often as it is told, for callgrind to count: `usl-hotpaths PATH COUNT`.
/// scripts/hot-paths compares the counts with those that are on record.
@main
enum HotPaths {
    private static let paths: [(name: String, walk: @Sendable (Int) throws -> UInt64)] = [
        ("encode", encode),
        ("decode", decode),
        ("message-64", { transfer(64, times: $0) }),
        ("message-16k", { transfer(16 << 10, times: $0) }),
        ("schedule", schedule),
    ]

    static func main() throws {
        let words = CommandLine.arguments
        guard words.count == 3, let path = paths.first(where: { $0.name == words[1] }), let count = Int(words[2]) else {
            print(paths.map(\.name).joined(separator: "\n"))
            return
        }
        print(try path.walk(count))
    }

    /// Headers of data frames become bytes.
    private static func encode(_ times: Int) -> UInt64 {
        var sum: UInt64 = 0
        var bytes = [UInt8](repeating: 0, count: Wire.headerLength)
        for time in 0..<times {
            let header = FrameHeader(
                type: .data, window: 256, length: 64, offset: UInt64(time) * 64, acknowledged: UInt64(time))
            var span = bytes.mutableSpan
            var room = span.mutableBytes
            header.encode(into: &room)
            sum &+= UInt64(bytes[time % Wire.headerLength])
        }
        return sum
    }

    /// Frames of 64 bytes are taken apart, of which many came at once.
    private static func decode(_ times: Int) throws -> UInt64 {
        let frames = 100
        var input: [UInt8] = []
        for index in 0..<frames {
            let header = FrameHeader(type: .data, length: 64, offset: UInt64(index) * 64)
            input += header.encodedBytes + [UInt8](repeating: UInt8(index), count: 64)
        }
        var decoder = FrameDecoder()
        var cursor = 0
        let preface = Wire.preface
        _ = try decoder.next(preface.span.bytes, &cursor)
        var sum: UInt64 = 0
        for _ in 0..<times / frames {
            cursor = 0
            while case .some(let event) = try? decoder.next(input.span.bytes, &cursor), event != .needMore {
                if case .data(_, let range) = event { sum &+= UInt64(range.count) }
            }
        }
        return sum
    }

    /// From the application's write to the acknowledgement, at both ends.
    private static func transfer(_ count: Int, times: Int) -> UInt64 {
        var pair = SessionPair()
        var wire = [UInt8](repeating: 0, count: SessionPair.frameSize)
        for _ in 0..<times { pair.transfer(count, through: &wire) }
        return pair.checksum
    }

    private final class Nobody: TimerHandler {
        func timerExpired(_ token: TimerToken, on loop: EventLoop) {}
    }

    /// A deadline is set and taken back, as with each message, among a thousand others.
    private static func schedule(_ times: Int) throws -> UInt64 {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 64 << 10))
        let nobody = Nobody()
        for number in 0..<1000 {
            _ = loop.schedule(nobody, at: loop.now + .milliseconds(UInt64(number * 37 % 100_000)))
        }
        for time in 0..<times {
            let token = loop.schedule(nobody, at: loop.now + .milliseconds(UInt64(20 + time % 1000)))
            loop.cancel(token)
        }
        return UInt64(times)
    }
}
