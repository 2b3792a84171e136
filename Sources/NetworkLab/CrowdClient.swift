import CLinux
public import Kernel
import SystemPackage

/// Many connections of one program, on which nothing happens but when it is told to: SIGUSR1 has each send a few bytes and wait for
/// them to come back, SIGUSR2 the same with many. What comes back is checked.
public struct CrowdClient: ~Copyable {
    /// What a round of all connections has come to, as the program prints it.
    public struct Round: Sendable {
        /// Of connections whose bytes came back, from the beginning of the round, in nanoseconds.
        public let median: Int
        public let percentile99: Int
        public let longest: Int
        /// Connections that have ended, or brought other bytes.
        public let lost: Int

        /// The last round that was printed; nil if there is none.
        public init?(lastOf output: String) {
            guard let line = output.split(separator: "\n").last(where: { $0.hasPrefix("round ") }) else { return nil }
            let numbers = line.split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 4 else { return nil }
            (median, percentile99, longest, lost) = (numbers[0], numbers[1], numbers[2], numbers[3])
        }

        /// How many have been printed.
        public static func count(in output: String) -> Int {
            output.split(separator: "\n").count { $0.hasPrefix("round ") }
        }
    }

    private struct Member {
        let number: Int32
        /// Of this round, yet to come back.
        var missing = 0
        var isLost = false
    }

    /// Bytes of a round: SIGUSR1, SIGUSR2.
    private static let few = 16
    private static let many = 16 << 10
    /// How many are connected at a time.
    private static let atOnce = 64
    private static let patience: UInt64 = 300_000_000_000

    private let events = CrowdEvents()
    private let signals: SignalDescriptor
    private var members: [Int32: Member] = [:]
    private var room = [UInt8](repeating: 0, count: 1 << 16)

    private init() throws(Errno) {
        let set = SignalSet([SIGUSR1, SIGUSR2])
        withUnsafePointer(to: set.value) { _ = sigprocmask(SIG_BLOCK, $0, nil) }
        signals = try SignalDescriptor(set)
        events.add(signals.descriptor.number)
    }

    /// Connects so often, says so, and stays.
    ///
    /// - Returns: the exit status.
    public static func run(to target: SocketAddress, count: Int) -> Int32 {
        DescriptorLimit.raise()
        do throws(Errno) {
            var crowd = try CrowdClient()
            try crowd.connect(to: target, count: count)
            while true { crowd.await() }
        } catch {
            Diagnostics.report("crowd: \(error)")
            return 1
        }
    }

    private mutating func connect(to target: SocketAddress, count: Int) throws(Errno) {
        let begin = labNow()
        var underWay: [Int32] = []
        for made in 0..<count {
            let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
            let number = try check(socket(target.family, type, 0))
            let result = target.withSockaddr { usl_connect(number, $0, $1) }
            guard result == 0 || usl_errno() == EINPROGRESS else { throw Errno(rawValue: usl_errno()) }
            members[number] = Member(number: number)
            events.add(number)
            underWay.append(number)
            if underWay.count == Self.atOnce || made + 1 == count {
                // Connected, and through to the server and back.
                let round = try converse(underWay, bytes: 1)
                guard round.lost == 0 else { throw .connectionReset }
                underWay.removeAll(keepingCapacity: true)
            }
        }
        TrafficPeer.say("connected \(labNow() - begin)")
    }

    /// Waits for what it is told.
    private mutating func await() {
        var told: Int32 = 0
        events.wait(milliseconds: -1) { _ in }
        while let arrival = try? signals.next() { told = arrival.signal }
        guard told != 0 else { return }
        let bytes = told == SIGUSR1 ? Self.few : Self.many
        guard let round = try? converse(Array(members.keys), bytes: bytes) else { return }
        TrafficPeer.say("round \(round.median) \(round.percentile99) \(round.longest) \(round.lost)")
    }

    private struct Result {
        var times: [Int] = []
        var lost = 0
        var median: Int { times.isEmpty ? 0 : times[times.count / 2] }
        var percentile99: Int { times.isEmpty ? 0 : times[min(times.count - 1, times.count * 99 / 100)] }
        var longest: Int { times.last ?? 0 }
    }

    private mutating func converse(_ numbers: [Int32], bytes: Int) throws(Errno) -> Result {
        let begin = labNow()
        var result = Result()
        var left = 0
        for number in numbers {
            guard members[number]?.isLost == false else {
                result.lost += 1
                continue
            }
            // A new connection is not there yet.
            var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
            poll(&entry, 1, Int32(Self.patience / 1_000_000))
            let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: bytes)
            guard send(number, payload, bytes, Int32(MSG_NOSIGNAL)) == bytes else {
                lose(number, &result)
                continue
            }
            members[number]?.missing = bytes
            left += 1
        }
        while left > 0, labNow() - begin < Self.patience {
            var ready: [Int32] = []
            events.wait(milliseconds: 1000) { ready.append($0) }
            for number in ready where number != signals.descriptor.number {
                guard read(number) else { continue }
                left -= 1
                if members[number]?.isLost == true {
                    result.lost += 1
                } else {
                    result.times.append(Int(labNow() - begin))
                }
            }
        }
        result.lost += left
        result.times.sort()
        return result
    }

    private mutating func lose(_ number: Int32, _ result: inout Result) {
        members[number]?.isLost = true
        result.lost += 1
    }

    /// Whether this round is over for a connection.
    private mutating func read(_ number: Int32) -> Bool {
        guard var member = members[number], member.missing > 0 else { return false }
        defer { members[number] = member }
        while member.missing > 0 {
            let count = recv(number, &room, min(room.count, member.missing), 0)
            if count < 0 && (usl_errno() == EAGAIN || usl_errno() == EINTR) { return false }
            let isRight = count > 0 && room.prefix(count).allSatisfy { $0 == UInt8(truncatingIfNeeded: number) }
            guard isRight else {
                member.isLost = true
                member.missing = 0
                return true
            }
            member.missing -= count
        }
        return true
    }
}
