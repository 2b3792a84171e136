public import Kernel
public import SessionProtocol

/// Who made a session's driver, and wants to hear of it. Called on the session's loop.
public protocol SessionOwner: AnyObject {
    /// Opener: the acceptor has connected to its target, and the leg may be given.
    func sessionOpened(_ driver: SessionDriver)
    /// The session is over; its links may still be saying so.
    func sessionEnded(_ driver: SessionDriver, _ ending: Ending)
    /// The leg's socket is closed, by whichever way: an escrowed copy must be released now, or it stays half open.
    func legClosed(_ driver: SessionDriver)
    /// Everything of the driver is closed. It lets go of its owner behind this.
    func driverFinished(_ driver: SessionDriver)
    /// A link was lost, or a dial failed, and why; for messages to people.
    func linkFailed(_ driver: SessionDriver, _ failure: LinkFailure)
    /// The session has another state, and perhaps another reason.
    func stateChanged(_ driver: SessionDriver)
    /// A link that was connected is broken, or silent: so may be others to the same host.
    func linkBroke(_ driver: SessionDriver, to host: SocketAddress.Host)
    /// A fact that a successor of this process would need has changed: see ``SessionDriver/recoveryFacts``.
    func recoveryFactsChanged(_ driver: SessionDriver, _ change: RecoveryChange)
}

extension SessionOwner {
    /// An acceptor waits for what its openers find out.
    public func linkBroke(_ driver: SessionDriver, to host: SocketAddress.Host) {}
}

/// What a ledger must be told at once, before the driver acts on it.
public enum RecoveryChange: Sendable {
    case epoch(Epoch)
    /// The resume key is known: ``SessionDriver/withResumeKey(_:)``.
    case opened
    /// The application waits at an address whose listener is in escrow under this key.
    case legHeld(escrowKey: UInt64)
    /// Nothing has been read from it or written to it; positions are counted from here.
    case legEstablished(escrowKey: UInt64, LegBase)
    /// Both directions were delivered to their ends, this end's at the position, and the leg is about to be closed.
    case legCompleted(delivered: Position)
    /// The replay buffer has a new place: an offset in the arena of this label, and a size.
    case ringMoved(arena: UInt64, offset: Int, size: Int)
    /// The replay buffer is empty and gives its place back.
    case ringTrimmed
    /// Bytes below this position were taken from the application.
    case taken(Position)
    case finTaken
    case finDelivered
    case resetSeen
    /// The leg is about to be reset. It had taken the bytes below the position.
    case abortDecided(delivered: Position)
}
