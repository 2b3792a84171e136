import CLinux
public import Engine
import Keeper
public import Kernel
public import SessionProtocol
import Synchronization
public import SystemPackage
public import Transport

/// The ledger of a process's sessions. The keeper holds its memory, so that a successor can read it.
public final class SessionLedger: Sendable {
    private let ledger: Ledger

    /// - Parameter escrow: where the ledger is put at once: before any session has a slot in it.
    public init(escrow: EscrowClient) throws(Errno) {
        ledger = try Ledger()
        escrow.hold(.ledger, ledger.memoryFile)
    }

    /// The journal of a new session. When the ledger is full, the session goes on, but would not survive this process.
    public func open(
        _ id: SessionID, _ role: Role, peer: SocketAddress, destination: SocketAddress
    ) -> SessionJournal {
        guard let slot = ledger.allocate() else { return SessionJournal(nil, role) }
        slot.open(
            LedgerIdentity(
                session: bigEndianBytes(id.high) + bigEndianBytes(id.low), role: role == .opener ? .agent : .gateway,
                peer: peer, destination: destination, openedAt: bootTime(), leg: EscrowKey(0)))
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

    public borrowing func keyIs(_ key: borrowing ResumeKey) {
        guard slot != nil else { return }
        key.withBytes { slot!.set(resumeKey: [UInt8]($0)) }
    }

    public borrowing func note(_ change: RecoveryChange, _ driver: SessionDriver) {
        guard slot != nil else { return }
        switch change {
        case .epoch(let epoch):
            switch role {
            case .opener: slot!.set(epochSent: epoch)
            case .acceptor: slot!.set(epochAccepted: epoch)
            }
        case .opened: driver.withResumeKey { slot!.set(resumeKey: [UInt8]($0)) }
        case .legEstablished(let escrowKey):
            slot!.set(leg: EscrowKey(escrowKey))
            // A successor subtracts what the leg's counters were when it was established.
            guard let info = driver.legInfo else { return }
            slot!.setBase(received: info.bytes_received, acknowledged: info.bytes_acked)
        case .taken(let tail): slot!.set(tail: tail)
        case .finTaken: slot!.insert(.finRead)
        case .finDelivered: slot!.insert(.finWritten)
        case .resetSeen: slot!.insert(.resetSeen)
        case .abortDecided: slot!.insert(.aborting)
        case .ringMoved(let arena, let offset, let size):
            slot!.set(ring: RingPlace(arena: EscrowKey(arena), offset: offset, size: size))
        }
    }
}
