// The messages between a keeper and its worker (an agent or a gateway's worker), each one message of a SOCK_SEQPACKET
// socket. Both ends are the same program on the same machine, the worker a fork of the keeper, so there is no version
// and numbers are in host order; but a keeper checks what it reads, since it has to outlive a worker gone wrong.

/// Names a descriptor in escrow. The worker chooses it; a key is in use from `hold` to `release`.
public struct EscrowKey: Hashable, Sendable {
    public let value: UInt64
    public init(_ value: UInt64) { self.value = value }
}

/// What a descriptor in escrow is, and so what a successor of the worker does with it.
public enum EscrowKind: UInt8, Sendable, CaseIterable {
    /// A leg: what keeps a connection to an application alive.
    case leg = 1
    /// The memory file of an arena.
    case arena = 2
    /// The memory file of the ledger.
    case ledger = 3
    /// A listening socket where others than this machine's programs under USL connect. Connections that nobody has
    /// accepted yet live as long as it does.
    case listener = 4
    /// A listening socket on loopback where applications bring their legs.
    case desk = 5
    /// A listening socket on loopback that accepts nobody: an application waits there for its verdict.
    case held = 6
    /// A socket that stands in for a destination of an application's datagrams.
    case relay = 7
    /// A socket that is connected to that destination, and does nothing but say so. Its key is the relay's and 1.
    case relayTarget = 8
    /// One end of what stands for an offer of a server's port, at the server's agent and at the gateway.
    case offer = 9
}

/// What a worker tells its keeper.
enum WorkerMessage: Equatable {
    /// Keep the descriptor that comes with this message.
    case hold(EscrowKey, EscrowKind)
    case release(EscrowKey)
    /// Become the program that is described in the memory file that comes with this message (`Replacement`).
    case replace
    case report(WorkerReport)
}

/// What a worker tells its keeper about its connections.
enum WorkerReport: Equatable {
    /// How many legs live, how many bytes their applications wrote that no peer has acknowledged, and where the most of
    /// these bytes go, as people write it. Sent whenever the number of legs changes, and from `programEnded` until
    /// `delivered` also as bytes are acknowledged.
    case legs(count: UInt32, undelivered: UInt64, destination: String)
    /// All that the applications had written when `programEnded` arrived has been acknowledged, but for `lost` bytes
    /// that no longer can be.
    case delivered(lost: UInt64)
    /// The worker serves: it has all that its predecessor left.
    case ready
}

/// What a keeper tells its worker. End of file means that the keeper has died: the worker ends as well.
public enum KeeperMessage: UInt8, Equatable, Sendable {
    /// The program has ended: report how the delivery of its last bytes goes, and when it is over.
    case programEnded = 1
    /// End in order: say what is cut, close everything, exit with status 0.
    case end = 2
    /// The launcher leaves, and with it whoever reads standard error: let go of it (`Diagnostics.detach`).
    case detach = 3
    /// Read the configuration again.
    case reload = 4
}

// MARK: - Bytes

extension WorkerMessage {
    /// No message is longer.
    static let maximumSize = 512

    private enum Tag {
        static let hold: UInt8 = 1
        static let release: UInt8 = 2
        static let legs: UInt8 = 3
        static let delivered: UInt8 = 4
        static let ready: UInt8 = 5
        static let replace: UInt8 = 6
    }

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .hold(let key, let kind):
            writer.write(Tag.hold)
            writer.write(kind.rawValue)
            writer.write(key.value)
        case .release(let key):
            writer.write(Tag.release)
            writer.write(key.value)
        case .report(.legs(let count, let undelivered, let destination)):
            writer.write(Tag.legs)
            writer.write(count)
            writer.write(undelivered)
            writer.write(text: destination)
        case .report(.delivered(let lost)):
            writer.write(Tag.delivered)
            writer.write(lost)
        case .report(.ready): writer.write(Tag.ready)
        case .replace: writer.write(Tag.replace)
        }
        return writer.bytes
    }

    /// nil for anything that `encoded` does not make.
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        switch reader.read(UInt8.self) {
        case Tag.hold:
            guard let kind = reader.read(UInt8.self).flatMap(EscrowKind.init(rawValue:)),
                let key = reader.read(UInt64.self)
            else { return nil }
            self = .hold(EscrowKey(key), kind)
        case Tag.release:
            guard let key = reader.read(UInt64.self) else { return nil }
            self = .release(EscrowKey(key))
        case Tag.legs:
            guard let count = reader.read(UInt32.self), let undelivered = reader.read(UInt64.self) else { return nil }
            self = .report(.legs(count: count, undelivered: undelivered, destination: reader.readText()))
        case Tag.delivered:
            guard let lost = reader.read(UInt64.self) else { return nil }
            self = .report(.delivered(lost: lost))
        case Tag.ready: self = .report(.ready)
        case Tag.replace: self = .replace
        default:
            return nil
        }
        guard reader.isAtEnd else { return nil }
    }
}

extension KeeperMessage {
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 1 else { return nil }
        self.init(rawValue: bytes[0])
    }
}
