/// What the programs of the lab's traffic have told on their standard output.
public struct TrafficReport: Sendable {
    public struct Connection: Sendable, Equatable {
        public var sent: Int
        public var sentDigest: Substring
        public var received: Int
        public var receivedDigest: Substring
        /// In nanoseconds: see `TrafficPeer`.
        public var longestPause: Int
        public var trips: Int
        public var medianTrip: Int
    }

    /// A trip of a ping-pong that took long, in nanoseconds of `labNow`.
    public struct Pause: Sendable {
        public var begin: Int
        public var length: Int
    }

    public private(set) var connections: [UInt64: Connection] = [:]
    public private(set) var failures: [(id: UInt64, reason: String)] = []
    public private(set) var pauses: [Pause] = []
    /// When the last trip was done, as far as it was told.
    public private(set) var lastTick: UInt64 = 0

    public init(_ text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 8)
            guard words.count > 2, let id = UInt64(words[1]) else { continue }
            switch words[0] {
            case "done" where words.count > 7:
                let rest = words[7...].joined(separator: " ").split(separator: " ").compactMap { Int($0) }
                guard let sent = Int(words[2]), let received = Int(words[4]), rest.count == 2 else { continue }
                connections[id] = Connection(
                    sent: sent, sentDigest: words[3], received: received, receivedDigest: words[5],
                    longestPause: Int(words[6]) ?? 0, trips: rest[0], medianTrip: rest[1])
            case "pause":
                if let begin = Int(words[2]), let length = Int(words.last ?? "") {
                    pauses.append(Pause(begin: begin, length: length))
                }
            case "tick": lastTick = UInt64(words[2]) ?? lastTick
            case "failed": failures.append((id, words[2...].joined(separator: " ")))
            default: continue
            }
        }
    }

    /// The part of a server's report that concerns one of its clients.
    public init(of server: TrafficReport, _ client: TrafficReport) {
        connections = server.connections.filter { client.connections[$0.key] != nil }
    }

    /// Bytes that this side has sent, and that it has received.
    public var bytes: Int { connections.values.reduce(0) { $0 + $1.sent + $1.received } }

    /// What is wrong with what a client and its server have told; empty when every byte that either has sent, the other
    /// has received, by count and by hash.
    public static func findings(client: TrafficReport, server: TrafficReport) -> [String] {
        var findings = client.failures.map { "client, \($0.id): \($0.reason)" }
        findings += server.failures.map { "server, \($0.id): \($0.reason)" }
        for (id, here) in client.connections {
            guard let there = server.connections[id] else {
                findings.append("\(id): the server has not finished")
                continue
            }
            if (here.sent, here.sentDigest) != (there.received, there.receivedDigest) {
                findings.append(
                    "\(id): \(here.sent) bytes sent by the client, \(there.received) received, or not the same")
            }
            if (there.sent, there.sentDigest) != (here.received, here.receivedDigest) {
                findings.append(
                    "\(id): \(there.sent) bytes sent by the server, \(here.received) received, or not the same")
            }
        }
        return findings
    }
}
