public import Kernel

/// A session's slot in the ledger, which is freed when its owner ends. A process that dies does not end its owners: what it
/// has stored stays.
public struct LedgerSlot: ~Copyable, Sendable {
    public let index: Int
    private let ledger: Ledger

    init(ledger: Ledger, index: Int) {
        self.ledger = ledger
        self.index = index
    }

    deinit { ledger.free(index) }

    private var record: LedgerRecord { ledger.record(index) }

    /// Stores what never changes, and puts the slot in use: from here on a successor finds the session.
    public borrowing func open(_ identity: LedgerIdentity) {
        record.store(identity.session, in: LedgerRecord.identifier)
        record.store(identity.peer.ledgerBytes, in: LedgerRecord.peer)
        record.store(identity.destination.ledgerBytes, in: LedgerRecord.destination)
        record.openedAt.store(identity.openedAt)
        record.leg.store(identity.leg.value)
        record.role.store(UInt64(identity.role.rawValue) | UInt64(identity.mode) << 8)
        record.state.store(1)
    }

    /// Stores the key that the exchange of OPEN and OPENED gave, 32 bytes.
    public borrowing func set(resumeKey: [UInt8]) {
        record.store(resumeKey, in: LedgerRecord.resumeKey)
    }

    /// Stores the leg's counters as they were when it was established. Both are the kernel's (`TCP_INFO`).
    public borrowing func setBase(received: UInt64, acknowledged: UInt64) {
        record.baseReceived.store(received)
        record.baseAcknowledged.store(acknowledged)
    }

    /// To be called before that epoch is sent.
    public borrowing func set(leg: EscrowKey) { record.leg.store(leg.value) }

    public borrowing func set(epochSent: UInt64) { record.epochSent.store(epochSent) }

    /// To be called before that epoch is answered.
    public borrowing func set(epochAccepted: UInt64) {
        record.epochAccepted.store(epochAccepted)
    }

    /// Where the ring is, in one store: a successor sees the old place or the new one. nil: the session holds no bytes.
    public borrowing func set(ring: RingPlace?) { record.ring.store(ring?.packed ?? 0) }

    /// To be called after each read from the application.
    public borrowing func set(tail: UInt64) { record.tail.store(tail) }

    public borrowing func set(delivered: UInt64) { record.delivered.store(delivered) }

    public borrowing func insert(_ flags: LedgerFlags) {
        record.flags.store(record.flags.load() | flags.rawValue)
    }

    /// All that the slot says; nil as long as it was not opened.
    public borrowing func snapshot() -> LedgerSnapshot? { LedgerSnapshot(record) }
}

/// What happened to a session once and for all.
public struct LedgerFlags: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The application has ended its direction, and the end was read.
    public static let finRead = LedgerFlags(rawValue: 1)
    /// The peer has ended its direction, and the application is about to be told: set before shutdown(2).
    public static let finWritten = LedgerFlags(rawValue: 2)
    /// The application has reset its connection.
    public static let resetSeen = LedgerFlags(rawValue: 4)
    /// The application's connection is about to be reset on purpose.
    public static let aborting = LedgerFlags(rawValue: 8)
}

/// What a session is.
public struct LedgerIdentity: Equatable, Sendable {
    public enum Role: UInt8, Sendable {
        case agent = 1
        case gateway = 2
    }

    /// 16 bytes.
    public var session: [UInt8]
    public var role: Role
    /// How it uses several links, in the numbers of the protocol.
    public var mode: UInt8
    /// Where its links go to, or came from.
    public var peer: SocketAddress
    /// What the application asked for.
    public var destination: SocketAddress
    /// Nanoseconds of `CLOCK_BOOTTIME`, which also counts while the machine sleeps.
    public var openedAt: UInt64
    /// The leg's key in escrow.
    public var leg: EscrowKey

    public init(
        session: [UInt8], role: Role, mode: UInt8 = 0, peer: SocketAddress, destination: SocketAddress,
        openedAt: UInt64, leg: EscrowKey
    ) {
        self.session = session
        self.role = role
        self.mode = mode
        self.peer = peer
        self.destination = destination
        self.openedAt = openedAt
        self.leg = leg
    }
}

/// Where a ring is: offset and size in the arena of its loop. Sizes are powers of two, offsets multiples of 4 KiB.
public struct RingPlace: Equatable, Sendable {
    /// Which arena, by its key in escrow; up to 65,535.
    public let arena: EscrowKey
    /// In bytes, up to 2⁵² − 4096.
    public let offset: Int
    /// In bytes.
    public let size: Int

    public init(arena: EscrowKey, offset: Int, size: Int) {
        precondition(arena.value < 1 << 16 && offset >= 0 && offset < 1 << 52 && offset % 4096 == 0)
        precondition(size > 0 && size & (size - 1) == 0)
        self.arena = arena
        self.offset = offset
        self.size = size
    }

    /// Bits 0–7: one more than the logarithm of the size; bits 8–47: the offset in units of 4 KiB; bits 48–63: the arena.
    var packed: UInt64 {
        UInt64(size.trailingZeroBitCount + 1) | UInt64(offset / 4096) << 8 | arena.value << 48
    }

    init?(packed: UInt64) {
        guard packed & 0xff != 0 else { return nil }
        size = 1 << (packed & 0xff - 1)
        offset = Int(packed >> 8 & 0xff_ffff_ffff) * 4096
        arena = EscrowKey(packed >> 48)
    }
}
