import CLinux
public import Engine
public import Keeper
public import Kernel
public import SessionProtocol
import Synchronization
public import SystemPackage
public import Transport

/// The ledger of a process's sessions. The keeper holds its memory, so that a successor can read it.
public final class SessionLedger: Sendable {
    private let ledger: Ledger

    /// A new ledger, which is put into escrow at once: before any session has a slot in it.
    public convenience init(escrow: EscrowClient) throws(Errno) {
        let ledger = try Ledger()
        escrow.hold(.ledger, ledger.memoryFile)
        self.init(ledger)
    }

    /// The predecessor's ledger, or a new one.
    public convenience init(_ estate: inout Estate, escrow: EscrowClient) throws(Errno) {
        if let ledger = estate.takeLedger() { self.init(ledger) } else { try self.init(escrow: escrow) }
    }

    private init(_ ledger: Ledger) { self.ledger = ledger }

    /// The journal of a new session. When the ledger is full, the session goes on, but would not survive this process.
    ///
    /// - Parameter leg: the key in escrow of the leg, or of the address where its application is held, if there is one.
    public func open(
        _ id: SessionID, _ role: Role, peer: SocketAddress, destination: SocketAddress, suspendLimit: Interval,
        leg: EscrowKey = EscrowKey(0), _ details: LedgerIdentity.Details
    ) -> SessionJournal {
        guard let slot = ledger.allocate() else { return SessionJournal(nil, role) }
        let seconds = (suspendLimit.nanoseconds + 999_999_999) / 1_000_000_000
        slot.open(
            LedgerIdentity(
                session: bigEndianBytes(id.high) + bigEndianBytes(id.low), role: role == .opener ? .agent : .gateway,
                peer: peer, destination: destination, openedAt: bootTime(), leg: leg,
                suspendLimit: UInt32(clamping: seconds), details: details))
        return SessionJournal(slot, role)
    }

    private func bigEndianBytes(_ word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) }
    }

    private func bootTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// What a session writes into its slot as it goes. Belongs to the session's loop.
public struct SessionJournal: ~Copyable, Sendable {
    private let slot: LedgerSlot?
    private let role: Role

    init(_ slot: consuming LedgerSlot?, _ role: Role) {
        self.slot = slot
        self.role = role
    }

    /// The key that the slot holds, in memory of its own, which is erased when it is freed.
    borrowing func key() -> ResumeKey? {
        guard slot != nil else { return nil }
        var key: ResumeKey?
        slot!.withResumeKey { key = ResumeKey(bytes: $0) }
        return key
    }

    public borrowing func keyIs(_ key: borrowing ResumeKey) {
        guard slot != nil else { return }
        key.withBytes { slot!.set(resumeKey: $0) }
    }

    public borrowing func note(_ change: RecoveryChange, _ driver: SessionDriver) {
        guard slot != nil else { return }
        switch change {
        case .epoch(let epoch):
            switch role {
            case .opener: slot!.set(epochSent: epoch)
            case .acceptor: slot!.set(epochAccepted: epoch)
            }
        case .opened:
            driver.withResumeKey { slot!.set(resumeKey: $0) }
            slot!.set(instance: driver.session.instance)
            slot!.insert(.opened)
        case .legHeld(let escrowKey): slot!.set(leg: EscrowKey(escrowKey))
        case .legEstablished(let escrowKey, let base):
            slot!.setBase(received: base.received, acknowledged: base.acknowledged)
            slot!.set(leg: EscrowKey(escrowKey))
            slot!.insert(.legEstablished)
        case .legCompleted(let delivered):
            slot!.set(delivered: delivered)
            slot!.insert(.legClosed)
        case .taken(let tail): slot!.set(tail: tail)
        case .finTaken: slot!.insert(.finRead)
        case .finDelivered: slot!.insert(.finWritten)
        case .resetSeen: slot!.insert(.resetSeen)
        case .abortDecided(let delivered):
            slot!.set(delivered: delivered)
            slot!.insert(.aborting)
        case .ringTrimmed: slot!.set(ring: nil)
        case .ringMoved(let arena, let offset, let size):
            slot!.set(ring: RingPlace(arena: EscrowKey(arena), offset: offset, size: size))
        }
    }
}
