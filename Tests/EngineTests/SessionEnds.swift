import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Transport

@testable import Engine

/// Keeps what a driver says.
final class RecordingOwner: SessionOwner {
    private(set) var isOpened = false
    private(set) var endings: [Ending] = []
    private(set) var legsClosed = 0
    private(set) var isFinished = false
    private(set) var failures: [LinkFailure] = []
    private(set) var states: [SessionState] = []
    private(set) var ringMoves = 0
    /// What is said of the session once it is over.
    private(set) var epitaph: GoneMessage?

    func sessionOpened(_ driver: SessionDriver) { isOpened = true }
    func sessionEnded(_ driver: SessionDriver, _ ending: Ending) {
        endings.append(ending)
        epitaph = driver.session.epitaph
    }
    func legClosed(_ driver: SessionDriver) { legsClosed += 1 }
    func driverFinished(_ driver: SessionDriver) { isFinished = true }
    func stateChanged(_ driver: SessionDriver) { states.append(driver.session.state) }
    func linkFailed(_ driver: SessionDriver, _ failure: LinkFailure) { failures.append(failure) }
    func recoveryFactsChanged(_ driver: SessionDriver, _ change: RecoveryChange) {
        if case .ringMoved = change { ringMoves += 1 }
    }
}

/// The acceptor's side of one session, without a gateway around it: reads first frames, and makes or joins its driver.
final class TestAcceptor {
    private struct Greeting: ~Copyable {
        let socket: TCPSocket
        var decoder = FrameDecoder()

        init(_ socket: consuming TCPSocket) { self.socket = socket }
    }

    static let instance: UInt64 = 7

    let address: SocketAddress
    let owner = RecordingOwner()
    private(set) weak var driver: SessionDriver?
    private let listener: TCPSocket
    private let loop: EventLoop
    private let buffers: SessionBuffers
    private var leg: TCPSocket?
    private var greeting: Greeting?

    init(leg: consuming TCPSocket, buffers: SessionBuffers, on loop: EventLoop) throws {
        listener = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))
        address = try listener.localAddress()
        self.leg = consume leg
        self.buffers = buffers
        self.loop = loop
    }

    /// Serves what has arrived; connections one after the other.
    func pump() throws {
        if greeting == nil, let socket = try listener.accept() { greeting = Greeting(socket) }
        guard var current = greeting.take() else { return }
        var room = [UInt8](repeating: 0, count: 4096)
        switch room.withUnsafeMutableBytes({ current.socket.receive(into: $0) }) {
        case .wouldBlock: greeting = consume current
        case .endOfStream, .failed: return
        case .bytes(let count):
            var cursor = 0
            while true {
                switch try current.decoder.next(room.span.bytes.extracting(..<count), &cursor) {
                case .needMore:
                    greeting = consume current
                    return
                case .preface: put(Wire.preface, into: current.socket)
                case .frame(let header):
                    let payload = current.decoder.payload
                    let link = AcceptedLink(
                        link: Link(plain: current.socket), remote: address, decoder: current.decoder,
                        unread: [UInt8](room[cursor..<count]))
                    if let epitaph = owner.epitaph {
                        LastWords.say(epitaph.encoded, over: link.intoLink(), on: loop)
                    } else if header.type == .attach {
                        driver?.join(try AttachClaim.decode(header, payload), over: link)
                    } else {
                        try open(try OpenMessage(payload: payload), header.encodedBytes + payload, link)
                    }
                    return
                case .dataHeader, .data: return
                }
            }
        }
    }

    private func open(_ open: OpenMessage, _ frame: [UInt8], _ link: consuming AcceptedLink) throws {
        // The session is there already when an answer to OPEN was lost on the way: the opener attaches then.
        guard let leg = leg.take() else { return link.intoLink().withSocket { put(opened, into: $0) } }
        let agreement = try KeyAgreement.generate()
        let key = try agreement.resumeKey(as: .acceptor, of: open.session, with: open.keyShare)
        let unsealed = OpenedMessage(
            keyShare: agreement.share, instance: TestAcceptor.instance, suspendLimit: .max
        ).unsealed(answering: frame)
        guard let proof = Proof(bytes: try key.proof(of: unsealed.transcript)) else { return }
        opened = unsealed.sealed(with: proof)
        driver = try SessionDriver.accept(
            open.session, key: key, instance: TestAcceptor.instance, opened: opened,
            destination: address, leg: leg, escrowKey: 1, first: link, suspendLimit: .hours(1), buffers: buffers,
            on: loop, owner: owner)
    }

    private var opened: [UInt8] = []
}

/// Writes bytes that fit into the send buffer.
func put(_ bytes: [UInt8], into socket: borrowing TCPSocket) {
    bytes.withUnsafeBytes { bytes in
        var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        withUnsafePointer(to: &vector) { _ = socket.send(UnsafeBufferPointer(start: $0, count: 1)) }
    }
}
