import SessionProtocol

/// What outlives a process of a session: its slot in the ledger. Leg and ring live on too; the endpoint itself counts
/// what the kernel's counters would tell of them.
struct Ledger {
    /// The highest epoch that may have been sent, or that was accepted.
    var epoch: Epoch = 0
    /// The end of the application's stream was read.
    var finTaken = false
    /// The leg's writing side is shut, or about to be.
    var finDelivered = false
    /// The application's reset was seen.
    var resetSeen = false
}
