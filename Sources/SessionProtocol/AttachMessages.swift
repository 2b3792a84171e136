/// ATTACH and ATTACHED: one end's state when a link joins.
public struct AttachClaim: Equatable, Sendable {
    /// Who says it: a proof never serves the other role.
    public let role: Role
    public let session: SessionID
    public let link: LinkNumber
    public let epoch: Epoch
    /// Contiguous bytes that this end holds; says what to resend. Only `acknowledged` frees the peer's ring.
    public let received: Position
    /// Bytes that this end's leg has taken.
    public let acknowledged: Position
    /// Receive space beyond `acknowledged`, in units of 4 KiB.
    public let window: UInt16
    /// ATTACHED only: `epoch` was not new and the link has not joined; `epoch` is the highest one seen.
    public let isStale: Bool
    /// The process that held this end has died and another has taken its place: its other links and what it held for its
    /// application are gone, and what it had promised to hold does not count any more.
    public let isRestarted: Bool

    private static let staleFlag: UInt8 = 1
    private static let restartedFlag: UInt8 = 2

    var limit: Position { acknowledged &+ UInt64(window) * Wire.windowUnit }

    public var unsealed: UnsealedFrame {
        let header = FrameHeader(
            type: role == .opener ? .attach : .attached,
            flags: (isStale ? AttachClaim.staleFlag : 0) | (isRestarted ? AttachClaim.restartedFlag : 0),
            window: window, offset: 0, acknowledged: acknowledged)
        var writer = ItemWriter()
        writer.append(.session, session.high, session.low)
        writer.append(.linkNumber, link)
        writer.append(.epoch, epoch)
        writer.append(.received, received)
        return UnsealedFrame(
            context: ProofContext.attach(by: role),
            frame: writer.finish(header, trailing: ItemType.proofItemLength))
    }

    /// Takes an ATTACH or ATTACHED apart, for an acceptor that does not know yet which session it is about.
    public static func decode(
        _ header: FrameHeader, _ payload: [UInt8]
    ) throws(FrameError) -> Unverified<AttachClaim> {
        let type = header.type
        let role: Role = type == .attach ? .opener : .acceptor
        var reader = ItemReader(payload, of: type)
        var session: SessionID?
        var link: LinkNumber?
        var epoch: Epoch?
        var received: Position?
        var proof: (Proof, start: Int)?
        while let item = try reader.next() {
            switch item.type {
            case .session:
                let (high, low) = try item.pair(in: type)
                session = SessionID(high: high, low: low)
            case .linkNumber: link = try item.integer(in: type)
            case .epoch: epoch = try item.integer(in: type)
            case .received: received = try item.integer(in: type)
            case .proof: proof = try item.proof(endOf: payload, in: type)
            case .keyShare, .destination, .transportProtocol, .instance, .suspendLimit, .code, .text, .finalPositions,
                .name, .addresses:
                continue
            }
        }
        guard let session, let link, let epoch, let received, let proof else { throw .malformed(type) }
        let claim = AttachClaim(
            role: role, session: session, link: link, epoch: epoch, received: received,
            acknowledged: header.acknowledged, window: header.window,
            isStale: role == .acceptor && header.flags & staleFlag != 0,
            isRestarted: header.flags & restartedFlag != 0)
        return Unverified(
            message: claim, proof: proof.0, context: ProofContext.attach(by: role),
            frame: header.encodedBytes + payload[..<proof.start])
    }
}

extension Unverified where Message == AttachClaim {
    /// The session that the claim is about, to find its key by.
    public var session: SessionID { message.session }
}
