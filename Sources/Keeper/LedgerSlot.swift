import Kernel

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
        record.role.store(
            UInt64(identity.role.rawValue) | UInt64(identity.mode) << 8 | UInt64(identity.suspendLimit) << 32)
        switch identity.details {
        case .application(let application):
            record.cookie.store(application.cookie)
            if let source = application.source { record.store(source.ledgerBytes, in: LedgerRecord.source) }
            let name = Array(application.program.utf8.prefix(LedgerRecord.program.count))
            let padding = [UInt8](repeating: 0, count: LedgerRecord.program.count - name.count)
            record.store(name + padding, in: LedgerRecord.program)
            record.spelling.store(
                (application.isMapped ? 1 : 0) | UInt64(application.proof) << 8 | UInt64(application.rule) << 32)
        case .keyShares(let opener, let own):
            record.store(opener, in: LedgerRecord.openerShare)
            record.store(own, in: LedgerRecord.ownShare)
        }
        record.state.store(1)
    }

    /// Stores the key that the exchange of OPEN and OPENED gave, 32 bytes. No copy of it is made on the way.
    public borrowing func set(resumeKey: UnsafeRawBufferPointer) {
        record.store(resumeKey, in: LedgerRecord.resumeKey)
    }

    /// Lends the key; zeros if there is none yet.
    public borrowing func withResumeKey(_ body: (UnsafeRawBufferPointer) -> Void) {
        let field = LedgerRecord.resumeKey
        body(UnsafeRawBufferPointer(start: record.base + field.lowerBound, count: field.count))
    }

    /// Stores the leg's counters as they were when it was established. Both are the kernel's (`TCP_INFO`).
    public borrowing func setBase(received: UInt64, acknowledged: UInt64) {
        record.baseReceived.store(received)
        record.baseAcknowledged.store(acknowledged)
    }

    public borrowing func set(leg: EscrowKey) { record.leg.store(leg.value) }

    /// At an agent: which gateway has answered.
    public borrowing func set(instance: UInt64) { record.instance.store(instance) }

    /// To be called before that epoch is sent.
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
    /// At an agent: OPENED has come, so that resume key and instance are known.
    public static let opened = LedgerFlags(rawValue: 16)
    /// The leg's counters at its beginning are stored. Before that, nothing was read from it or written to it.
    public static let legEstablished = LedgerFlags(rawValue: 32)
    /// Both directions were delivered, and the leg was closed in order: `delivered` is stored.
    public static let legClosed = LedgerFlags(rawValue: 64)
}
