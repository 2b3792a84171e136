/// Why a gateway has turned somebody away who had proven nothing.
public enum TurnedAway: String, CaseIterable, Sendable {
    /// Plain, and the gateway was not started with `--plain`.
    case plain
    /// Without a key that `--authorized` has.
    case unauthorized
    /// Closed to make room: too many connections in all, or from one address.
    case handshakes
    case handshakesPerAddress = "handshakes-per-address"
    /// Said nothing that counts in time.
    case handshakeTime = "handshake-time"
    /// Said too much that does not count.
    case handshakeBytes = "handshake-bytes"
    case notUSL = "not-usl"
    case tls
    case otherVersion = "other-version"
    case malformed
    case notAllowed = "not-allowed"
    /// Too many sessions whose target is being connected to, in all or from one address.
    case opening
    case openingPerAddress = "opening-per-address"
    /// No room for another session: `[limits]`, `sessions` and `memory`.
    case exhausted
    /// No descriptors for another connection through a front.
    case relays
    /// This host had no descriptor or no memory for the connection.
    case system
}

/// What strangers hold of a gateway, and what came of others.
public struct StrangerReport: Sendable {
    /// A figure now, and the most that it may be.
    public struct Share: Sendable {
        let now: Int
        let limit: Int
        let limitPerAddress: Int

        public init(now: Int, limit: Int, limitPerAddress: Int) {
            self.now = now
            self.limit = limit
            self.limitPerAddress = limitPerAddress
        }
    }

    /// Connections that have not opened or joined a session.
    let handshakes: Share
    /// Sessions whose target is being connected to.
    let opening: Share
    let handshakeMilliseconds: UInt64
    let handshakeBytes: Int
    /// Since the process began.
    let turnedAway: [TurnedAway: Int]

    public init(
        handshakes: Share, opening: Share, handshakeMilliseconds: UInt64, handshakeBytes: Int,
        turnedAway: [TurnedAway: Int]
    ) {
        self.handshakes = handshakes
        self.opening = opening
        self.handshakeMilliseconds = handshakeMilliseconds
        self.handshakeBytes = handshakeBytes
        self.turnedAway = turnedAway
    }
}

extension StatusJSON {
    static func encode(_ report: StrangerReport) -> String {
        func share(_ share: StrangerReport.Share) -> String {
            object([
                ("now", "\(share.now)"), ("limit", "\(share.limit)"),
                ("limit_per_address", "\(share.limitPerAddress)"),
            ])
        }
        return object([
            ("handshakes", share(report.handshakes)), ("opening", share(report.opening)),
            ("handshake_time_ms", "\(report.handshakeMilliseconds)"), ("handshake_bytes", "\(report.handshakeBytes)"),
            (
                "turned_away",
                object(TurnedAway.allCases.map { ($0.rawValue, "\(report.turnedAway[$0] ?? 0)") })
            ),
        ])
    }
}
