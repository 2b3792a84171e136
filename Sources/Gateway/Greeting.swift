import Engine
import Kernel
import Policy
import SessionProtocol
import SystemPackage
import Transport

/// A connection that has been accepted and has not said yet what it wants. Bounded in time and in bytes: nobody here has
/// proven anything.
final class Greeting {
    enum FirstFrame {
        case open(OpenMessage, frame: [UInt8])
        case attach(Unverified<AttachClaim>)
        case lookup(LookupMessage)
        case ask(AskMessage)
    }

    enum Failure: Error {
        case closed
        case slow
        case long
        case inadmissible(LinkAdmission.Objection)
        case insecure(TLSFailure)
        case notUSL
        case otherVersion
        case malformed(FrameError)
    }

    private enum Stage {
        /// Nothing has come that tells what it speaks.
        case unknown
        /// TLS is in its handshake.
        case securing
        case reading
        /// After a first frame: nothing more is read until it is answered.
        case waiting
    }

    let remote: SocketAddress
    /// Once OPEN has named it.
    var session: SessionID?
    private var link: Link?
    private var decoder = FrameDecoder()
    private let loop: EventLoop
    private var registration: Registration?
    private var timer: TimerToken?
    /// What the peer has proven to hold, once the handshake of TLS is over.
    var peerKey: Fingerprint? { link?.isSecured == true ? link?.peerFingerprint : nil }
    private var hasGreeted = false
    private unowned let door: FrontDoor
    private let bounds: StrangerLimits
    /// Bytes since the connection, or the answer to its OPEN.
    private var bytesRead = 0
    /// Once it has been told why it is let go.
    private var words: LastWords?
    private var stage = Stage.unknown
    /// What is being taken has come with the first flight.
    private var isEarly = false

    init(
        _ socket: consuming TCPSocket, from remote: SocketAddress, at door: FrontDoor, bounds: StrangerLimits,
        on loop: EventLoop
    ) throws(Errno) {
        self.remote = remote
        self.door = door
        self.bounds = bounds
        self.loop = loop
        registration = try loop.register(socket.number, self)
        link = Link(plain: socket)
        timer = loop.schedule(self, at: loop.now + Interval(bounds.handshakeTime))
    }

    /// Gives the connection away, with what was read behind the first frame.
    func handOver(unread: [UInt8]) -> AcceptedLink? {
        guard let link = leave() else { return nil }
        door.forget(self)
        return AcceptedLink(link: link, remote: remote, decoder: decoder, unread: unread)
    }

    /// The OPEN of this connection is answered, but the connection is not link 0: an ATTACH must follow.
    func answerAndGoOn(_ frame: [UInt8]) {
        guard write(frame) else { return leaveAndForget() }
        stage = .reading
        bytesRead = 0
        timer = loop.schedule(self, at: loop.now + Interval(bounds.handshakeTime))
        read()
    }

    /// Says something and closes. It counts as a stranger until the peer has closed too.
    func dismiss(saying frame: [UInt8]) {
        guard let link = leave() else { return }
        words = LastWords.say(frame, over: link, on: loop) { [weak self] in
            if let self { door.forget(self) }
        }
        if words == nil { door.forget(self) } else { door.keep(self) }
    }

    func leaveAndForget() {
        _ = leave()
        door.forget(self)
    }

    /// Closes without a word, for others who want to come in.
    func cut() {
        words?.cut(on: loop)
        if link != nil { door.greetingFailed(self, .closed) }
    }

    private func leave() -> Link? {
        if let registration { loop.deregister(registration) }
        stopTimer()
        registration = nil
        return link.take()
    }

    private func stopTimer() {
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    /// The send buffer of a new connection takes every handshake frame whole.
    private func write(_ bytes: [UInt8]) -> Bool { link?.write(bytes) ?? false }

    /// Takes what has come.
    func read() {
        if case .unknown = stage { identify() }
        if case .securing = stage { shake() }
        while case .reading = stage, let result = link?.read(into: loop.scratch) {
            switch result {
            case .bytes(let count): take([UInt8](UnsafeRawBufferPointer(rebasing: loop.scratch[..<count])))
            case .wouldBlock: return
            case .endOfStream, .failed: return door.greetingFailed(self, .closed)
            }
        }
    }

    /// The first byte tells what it speaks.
    private func identify() {
        var byte: UInt8 = 0
        switch link?.withSocket({ $0.peek(&byte) }) {
        case .bytes: break
        case .wouldBlock, nil: return
        case .endOfStream, .failed: return door.greetingFailed(self, .closed)
        }
        let security = LinkSecurity(firstByte: byte)
        if let security, let objection = door.links.objection(to: security, from: remote) {
            return door.greetingFailed(self, .inadmissible(objection))
        }
        switch security {
        case .tls: secure()
        // What is neither is told in words that it does not speak USL.
        case .plain, nil: stage = .reading
        }
    }

    private func secure() {
        do throws(CryptoError) {
            guard let plain = link.take(), let secured = try door.links.secure(plain.intoSocket()) else { return }
            link = consume secured
            stage = .securing
        } catch {
            door.greetingFailed(self, .insecure(.other("\(error)")))
        }
    }

    private func shake() {
        switch link?.handshake() {
        case .done: stage = .reading
        case .needsRead, .needsWrite: break
        case nil: return
        case .failed(.closed), .failed(.socket): door.greetingFailed(self, .closed)
        case .failed(let failure):
            // The alert that says why has been sent. What follows is read away, or a reset would overtake it.
            if let failed = link.take() { link = Link(plain: failed.intoSocket()) }
            return door.greetingFailed(self, .insecure(failure))
        }
        if let early = link?.takeEarlyData(), !early.isEmpty { takeEarly(early) }
    }

    /// What has come with the first flight, and may have come from somebody who has recorded it: an ATTACH, and nothing else.
    private func takeEarly(_ input: [UInt8]) {
        let isDone = link?.isSecured == true
        (stage, isEarly) = (.reading, true)
        take(input)
        isEarly = false
        if case .reading = stage, !isDone { stage = .securing }
    }

    private func take(_ input: [UInt8]) {
        var cursor = 0
        while case .reading = stage, link != nil {
            do throws(FrameError) {
                switch try decoder.next(input.span.bytes, &cursor) {
                case .needMore:
                    guard isShort(cursor) else { return door.greetingFailed(self, .long) }
                    bytesRead += cursor
                    return
                case .preface:
                    hasGreeted = true
                    guard write(Wire.preface) else { return door.greetingFailed(self, .closed) }
                case .frame(let header):
                    guard isShort(cursor) else { return door.greetingFailed(self, .long) }
                    try take(header, unread: [UInt8](input[cursor...]))
                case .dataHeader, .data: throw FrameError.unexpected(.data)
                }
            } catch .notUSL {
                return door.greetingFailed(self, .notUSL)
            } catch .otherVersion {
                return door.greetingFailed(self, .otherVersion)
            } catch {
                return door.greetingFailed(self, .malformed(error))
            }
        }
    }

    /// Whether the bytes up to here, of the last piece, are within the bound. Preface and header do not count.
    private func isShort(_ cursor: Int) -> Bool {
        bytesRead + cursor <= bounds.handshakeBytes + Wire.preface.count + Wire.headerLength
    }

    private func take(_ header: FrameHeader, unread: [UInt8]) throws(FrameError) {
        switch header.type {
        case .open:
            // An opener says nothing behind OPEN before it has its answer, and then ATTACH.
            guard unread.isEmpty, session == nil, !isEarly else { throw .unexpected(.open) }
            let message = try OpenMessage(payload: decoder.payload)
            stage = .waiting
            stopTimer()
            door.received(.open(message, frame: header.encodedBytes + decoder.payload), from: self, unread: [])
        case .attach:
            guard unread.isEmpty || !isEarly else { throw .unexpected(.attach) }
            let claim = try AttachClaim.decode(header, decoder.payload)
            stage = .waiting
            door.received(.attach(claim), from: self, unread: unread)
        case .lookup:
            guard unread.isEmpty, session == nil, !isEarly else { throw .unexpected(.lookup) }
            let message = try LookupMessage(payload: decoder.payload)
            stage = .waiting
            stopTimer()
            door.received(.lookup(message), from: self, unread: [])
        case .ask:
            guard unread.isEmpty, session == nil, !isEarly else { throw .unexpected(.ask) }
            let message = try AskMessage(payload: decoder.payload)
            stage = .waiting
            stopTimer()
            door.received(.ask(message), from: self, unread: [])
        case .opened, .refused, .attached, .gone, .found, .answer, .data, .ack, .fin, .abort, .ping, .pong, .leave:
            throw .unexpected(header.type)
        }
    }
}

extension Greeting: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        if case .waiting = stage {
            // Nothing is expected but the opener's going.
            if !events.isDisjoint(with: [.peerClosed, .error, .hangup]) { door.greetingFailed(self, .closed) }
        } else {
            read()
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        door.greetingFailed(self, .slow)
    }
}
