public import Transport

/// A key pair made ahead for the next session that begins on a loop, so that nobody waits while it is made: that takes some 40 µs, of
/// about a millisecond in which a session is opened on loopback.
public final class SpareKeyPair: LoopTask {
    public var isQueued = false
    private unowned let loop: EventLoop
    private var spare: KeyAgreement?

    init(_ loop: EventLoop) { self.loop = loop }

    var isReady: Bool { spare != nil }

    /// A pair that nobody has had.
    public func take() throws(CryptoError) -> KeyAgreement {
        if let spare = spare.take() { return spare }
        return try .generate()
    }

    /// Makes the next one at the end of this turn: for when nobody waits for what this loop does next.
    public func replenish() { loop.runLater(self) }

    public func run(on loop: EventLoop) {
        // One that cannot be made now will be missed by the session that takes it, which can say so.
        if !isReady { spare = try? .generate() }
    }
}
