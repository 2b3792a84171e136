public import Engine
public import Keeper
public import Kernel
public import SystemPackage
public import Transport

/// What the dead predecessor of a process has left with their keeper. Empty for the first one.
///
/// It is taken over in the order of its parts: arenas, ledger, listeners, sessions. What nobody takes is let go in the end.
public struct Estate: ~Copyable {
    private var escrow: Escrow
    private var ledger: Ledger?
    private let ledgerKey: EscrowKey?
    private var slots: [Slot] = []
    /// Of a ledger that could not be read.
    public private(set) var failure: Errno?
    /// The arenas' keys, the first one's first. Ledger slots name arenas by them.
    public let arenaKeys: [EscrowKey]
    /// The largest keys in use: what is put into escrow from now on has larger ones.
    public let largestKeys: Keys

    public struct Keys: Sendable {
        var arena: UInt64 = 0
        var other: UInt64 = 0

        public init() {}
    }

    private struct Slot {
        let index: Int
        let snapshot: LedgerSnapshot?
    }

    public init(_ escrow: consuming Escrow) {
        arenaKeys = escrow.keys(of: .arena)
        var largest = Keys()
        largest.arena = arenaKeys.last?.value ?? 0
        largest.other = escrow.largestKey
        largestKeys = largest
        ledgerKey = escrow.keys(of: .ledger).first
        self.escrow = escrow
        guard let ledgerKey, let file = self.escrow.take(ledgerKey) else { return }
        do throws(Errno) {
            let ledger = try Ledger(adopting: file)
            slots = ledger.slotsInUse.map { Slot(index: $0, snapshot: ledger.snapshot($0)) }
            self.ledger = ledger
        } catch {
            failure = error
        }
    }

    /// The ledger, which is in escrow already.
    mutating func takeLedger() -> Ledger? { ledger }

    /// The arena of a key, with every ring that the ledger knows of in its place.
    public mutating func takeArena(_ key: EscrowKey, limits: ArenaLimits, budget: MemoryBudget) -> Arena? {
        guard let file = escrow.take(key) else { return nil }
        let places = slots.compactMap { $0.snapshot?.ring }.filter { $0.arena == key }
        let arena = try? Arena(
            adopting: file, limits: limits, budget: budget, places: places.map { ($0.offset, $0.size) })
        arena?.label = key.value
        return arena
    }

    /// The first arena, for the main loop; a new one if there is none, which is not in escrow then.
    public mutating func takeMainArena(limits: ArenaLimits, budget: MemoryBudget) throws(Errno) -> Arena {
        if let key = arenaKeys.first, let arena = takeArena(key, limits: limits, budget: budget) { return arena }
        return try Arena(limits: limits, budget: budget)
    }

    /// Gives away all descriptors of a kind; their copies stay in escrow under these keys.
    public mutating func take(_ kind: EscrowKind, _ body: (EscrowKey, consuming Descriptor) -> Void) {
        for key in escrow.keys(of: kind) {
            if let descriptor = escrow.take(key) { body(key, descriptor) }
        }
    }

    /// The listening sockets where others connect.
    public mutating func takeListeners() -> [Listener] {
        var listeners: [Listener] = []
        take(.listener) { listeners.append(Listener(TCPSocket(owning: $1))) }
        return listeners
    }

    /// The next session, with its leg if there is one.
    public mutating func nextSession() -> StoredSession? {
        while let slot = slots.popLast() {
            guard let ledger else { return nil }
            let owner = ledger.adopt(slot.index)
            // A slot that makes no sense is freed here, and its leg reset in the end.
            guard let snapshot = slot.snapshot else { continue }
            let key = snapshot.identity.leg
            let isHeld = escrow.kind(of: key) == .held
            let descriptor = escrow.take(key)
            return StoredSession(snapshot: snapshot, slot: owner, descriptor, isHeld: isHeld)
        }
        return nil
    }

    /// A leg that came into escrow before its session knew of it, by where it comes from.
    public mutating func takeLeg(from source: SocketAddress) -> (EscrowKey, Handoff<TCPSocket>)? {
        for key in escrow.keys(of: .leg) {
            guard let descriptor = escrow.take(key) else { continue }
            let socket = TCPSocket(owning: descriptor)
            if (try? socket.remoteAddress())?.unmapped == source { return (key, Handoff(socket)) }
            escrow.hold(key, .leg, socket.release())
        }
        return nil
    }

    /// Lets go of all that nobody has taken: legs without a session are reset, and the keeper told.
    public consuming func finish(_ client: EscrowClient) {
        for kind in EscrowKind.allCases {
            for key in escrow.keys(of: kind) {
                if kind == .leg, let descriptor = escrow.take(key) {
                    // Closing would not do while the keeper holds a copy.
                    _ = try? TCPSocket(owning: descriptor).abort()
                }
                client.release(key)
            }
        }
        if ledger == nil, let ledgerKey { client.release(ledgerKey) }
    }
}

/// A session that has lost its process, before it goes on in another.
public struct StoredSession: ~Copyable, Sendable {
    public let snapshot: LedgerSnapshot
    public var key: ResumeKey?
    public var journal: SessionJournal?
    public var leg: TCPSocket?
    /// The listener where the application waits for its verdict. There is no leg then.
    public var held: Descriptor?

    init(snapshot: LedgerSnapshot, slot: consuming LedgerSlot, _ descriptor: consuming Descriptor?, isHeld: Bool) {
        self.snapshot = snapshot
        let journal = SessionJournal(slot, snapshot.identity.role == .agent ? .opener : .acceptor)
        key = journal.key()
        self.journal = consume journal
        if isHeld {
            held = consume descriptor
        } else if let descriptor {
            leg = TCPSocket(owning: descriptor)
        }
    }

    /// Resets the leg, which has no session to go on with, or refuses the application that waits. Its slot is free again.
    public consuming func abandon(_ client: EscrowClient) {
        let had = leg != nil || held != nil
        if let leg { _ = try? leg.abort() }
        if had { client.release(snapshot.identity.leg) }
    }
}
