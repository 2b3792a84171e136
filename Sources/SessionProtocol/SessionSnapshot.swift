/// What a process that has died leaves of an open session: what its ledger says, and what the kernel's counters say of the
/// leg (docs/architecture.md, "Escrow and ledger").
public struct SessionSnapshot: Equatable, Sendable {
    public var id: SessionID
    public var role: Role
    /// The acceptor's instance number.
    public var instance: UInt64
    /// The highest epoch that was sent (opener) or accepted (acceptor).
    public var epoch: Epoch
    /// End of the bytes taken from the application.
    public var taken: Position
    /// The lowest byte that the ring still holds: at most what the peer had acknowledged. Without a ring, `taken`.
    public var ringBase: Position
    /// The application's end of stream was taken.
    public var finTaken: Bool
    /// Bytes that the leg has taken.
    public var delivered: Position
    /// The leg's writing side is shut.
    public var finDelivered: Bool
    /// The application at this end has reset its side, with this code.
    public var aborted: UInt8?

    public init(
        id: SessionID, role: Role, instance: UInt64, epoch: Epoch, taken: Position, ringBase: Position,
        finTaken: Bool, delivered: Position, finDelivered: Bool, aborted: UInt8?
    ) {
        self.id = id
        self.role = role
        self.instance = instance
        self.epoch = epoch
        self.taken = taken
        self.ringBase = ringBase
        self.finTaken = finTaken
        self.delivered = delivered
        self.finDelivered = finDelivered
        self.aborted = aborted
    }
}
