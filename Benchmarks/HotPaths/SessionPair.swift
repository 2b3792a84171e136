import SessionProtocol

/// Both ends of one open session over one link, in one place: what the core does for bytes that are written at one end until
/// their acknowledgement is back there.
struct SessionPair {
    private static let preface = Wire.preface
    private static let now = Instant(nanoseconds: 1_000_000_000)

    private var opener: Session
    private var acceptor: Session
    private let openerLink: LinkNumber
    private let acceptorLink: LinkNumber = 0
    /// Room for a header and as many bytes of payload as a frame may have.
    static let frameSize = Wire.headerLength + Wire.maximumData

    init() {
        let configuration = SessionConfiguration(
            window: 1 << 20, maximumWindow: 1 << 20, suspendLimit: .hours(1), mode: .failover, paths: [PathID(0)],
            seed: 1)
        let id = SessionID(high: 1, low: 2)
        let share = [UInt8](repeating: 1, count: Wire.keyShareLength)
        guard let destination = Destination(address: [192, 0, 2, 7], port: 5432),
            let proof = Proof(bytes: [UInt8](repeating: 2, count: Wire.proofLength))
        else { fatalError("these are no destination and no proof") }
        let open = OpenMessage(session: id, keyShare: share, destination: destination, suspendLimit: 3600)
        let opened = OpenedMessage(keyShare: share, instance: 7, suspendLimit: 3600)
            .unsealed(answering: open.encoded).sealed(with: proof)

        opener = .opener(open, configuration, Self.now)
        var dialled: LinkNumber?
        while let effect = opener.nextEffect() { if case .dial(let number, _) = effect { dialled = number } }
        guard let link = dialled else { fatalError("an opener dials") }
        openerLink = link
        opener.linkConnected(link, roundTrip: nil, Self.now)

        var decoder = FrameDecoder()
        while case .handshake(let bytes)? = opener.nextFrame(on: link, Self.now, maximumData: Wire.maximumData) {
            var cursor = 0
            while let event = try? decoder.next(bytes.span.bytes, &cursor), event != .needMore {}
        }
        acceptor = .acceptor(id, instance: 7, opened: opened, link: decoder, configuration, Self.now)
        while acceptor.nextEffect() != nil {}

        var cursor = 0
        let answer = Self.preface + opened
        while true {
            guard case .opened(let answer) = opener.receive(on: link, answer.span.bytes, &cursor, Self.now) else {
                break
            }
            guard let verified = answer.verified(by: proof) else { fatalError("the proof is the same") }
            opener.opened(verified, on: link, Self.now)
        }
        while opener.nextEffect() != nil {}
    }

    /// The application writes `count` bytes at the opener's end, the other one takes them, and acknowledges.
    ///
    /// - Parameter wire: of `frameSize`.
    mutating func transfer(_ count: Int, through wire: inout [UInt8]) {
        opener.applicationWrote(count)
        while let frame = opener.nextFrame(on: openerLink, Self.now, maximumData: Wire.maximumData) {
            switch frame {
            case .data(let header, let range):
                put(header, &wire)
                deliver(wire.span.bytes.extracting(..<(Wire.headerLength + range.count)))
            case .header(let header):
                put(header, &wire)
                deliver(wire.span.bytes.extracting(..<Wire.headerLength))
            case .handshake, .end: fatalError("the session is open")
            }
        }
        while let frame = acceptor.nextFrame(on: acceptorLink, Self.now, maximumData: Wire.maximumData) {
            guard case .header(let header) = frame else { continue }
            put(header, &wire)
            var cursor = 0
            _ = opener.receive(on: openerLink, wire.span.bytes.extracting(..<Wire.headerLength), &cursor, Self.now)
        }
    }

    /// What both ends say of it; the same each time, and nothing is optimised away.
    var checksum: UInt64 { opener.acknowledged &+ acceptor.receivedBytes }

    private func put(_ header: FrameHeader, _ wire: inout [UInt8]) {
        var span = wire.mutableSpan
        var room = span.mutableBytes
        header.encode(into: &room)
    }

    private mutating func deliver(_ frame: RawSpan) {
        var cursor = 0
        while true {
            switch acceptor.receive(on: acceptorLink, frame, &cursor, Self.now) {
            case .data(let range): acceptor.applicationTook(range.count, Self.now)
            case .needMore: return
            case .early, .opened, .attached, .attach, .linkFailed: fatalError("frames come in order, over one link")
            }
        }
    }
}
