/// GONE: the session is over or unknown, and why.
public struct GoneMessage: Equatable, Sendable {
    public enum Reason: UInt16, Sendable {
        /// Both directions ended by an acknowledged FIN.
        case over = 1
        /// One application reset its side and the other has seen it.
        case aborted = 2
        /// Never seen, or forgotten.
        case unknown = 3
        /// Without a link for longer than the limit.
        case expired = 4
        /// The process that held the session was ended by its administrator.
        case ending = 5
        /// A proof was wrong.
        case unproven = 6
        /// A peer acknowledged or claimed what was never sent.
        case violation = 7
        /// Given up to stay inside a limit on memory or sessions.
        case exhausted = 8
        /// Given up by hand.
        case dropped = 9
    }

    /// How far each direction came, as the sender of GONE knows it.
    public struct FinalPositions: Equatable, Sendable {
        /// End of the bytes (and FIN) that the sender of GONE sent.
        public let sent: Position
        /// End of the bytes (and FIN) that the sender of GONE delivered.
        public let delivered: Position

        public init(sent: Position, delivered: Position) {
            self.sent = sent
            self.delivered = delivered
        }
    }

    public let reason: Reason
    /// The gateway that says so; zero from an opener, which has no instance number.
    public let instance: UInt64
    public let positions: FinalPositions?

    public init(reason: Reason, instance: UInt64, positions: FinalPositions?) {
        self.reason = reason
        self.instance = instance
        self.positions = positions
    }

    public var encoded: [UInt8] {
        var writer = ItemWriter()
        writer.append(.code, reason.rawValue)
        writer.append(.instance, instance)
        if let positions { writer.append(.finalPositions, positions.sent, positions.delivered) }
        return writer.finish(FrameHeader(type: .gone))
    }

    init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .gone)
        var reason = Reason.unknown
        var instance: UInt64 = 0
        var positions: FinalPositions?
        while let item = try reader.next() {
            switch item.type {
            case .code: reason = Reason(rawValue: try item.integer(in: .gone)) ?? .unknown
            case .instance: instance = try item.integer(in: .gone)
            case .finalPositions:
                let (sent, delivered) = try item.pair(in: .gone)
                positions = FinalPositions(sent: sent, delivered: delivered)
            case .session, .keyShare, .destination, .transportProtocol, .linkNumber, .epoch, .received, .suspendLimit,
                .text, .name, .addresses, .proof:
                continue
            }
        }
        self.init(reason: reason, instance: instance, positions: positions)
    }
}
