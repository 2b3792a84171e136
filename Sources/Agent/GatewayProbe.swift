import CLinux
import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// Finds out whether a gateway listens at an address, that speaks what this end wants of a link: connects, and does a TLS
/// handshake, or says USL's preface and waits for the gateway's. Then it may ask what the gateway does for a destination.
final class GatewayProbe {
    enum Finding: Equatable {
        /// The key that it shows, nil over a plain link; and what it says of the destination, nil if it was not asked, or says
        /// nothing: such a one is taken at its word when a session is opened.
        case gateway(Fingerprint?, AnswerMessage.Service? = nil)
        /// A gateway that is plain where this end wants TLS, or the other way round.
        case disagreeing
        /// Nobody listens there, or nobody answers.
        case nobody
        /// Something listens that is no gateway; its first bytes, if it said any.
        case stranger
        /// This end wants TLS, and has no key.
        case keyless(String)
    }

    /// After this time without an answer the peer counts as ordinary.
    static let limit = Interval.milliseconds(300)
    /// Connections made in that time at most, where each is reset.
    static let maximumDials = 8

    private let address: SocketAddress
    /// For a link over TLS; nil: a plain one is wanted. Asked when something listens, since a key may be made then.
    private let security: (() throws -> TLSContext)?
    private let destination: SocketAddress?
    private let loop: EventLoop
    private let done: (Finding) -> Void
    private var link: Link?
    private var registration: Registration?
    private var timer: TimerToken?
    private var isConnected = false
    private var dials = 0
    private var matched = 0
    /// The key that it has shown, once it is known to be a gateway and has been asked about the destination.
    private var key: Fingerprint?
    private var isAsked = false
    private var decoder = FrameDecoder()

    private init(
        _ address: SocketAddress, _ security: (() throws -> TLSContext)?, about destination: SocketAddress?,
        on loop: EventLoop, done: @escaping (Finding) -> Void
    ) {
        self.address = address
        self.destination = destination
        self.security = security
        self.loop = loop
        self.done = done
    }

    /// Calls `done` once, on the loop; where the kernel knows at once that there is no way, before this returns.
    ///
    /// - Parameters:
    ///   - security: for a link over TLS; nil for a plain one.
    ///   - destination: what a gateway is asked about; nil: nothing.
    static func start(
        _ address: SocketAddress, _ security: (() throws -> TLSContext)?, about destination: SocketAddress? = nil,
        on loop: EventLoop, done: @escaping (Finding) -> Void
    ) {
        let probe = GatewayProbe(address, security, about: destination, on: loop, done: done)
        probe.timer = loop.schedule(probe, at: loop.now + limit)
        probe.dial()
    }

    private func dial() {
        do throws(Errno) {
            let link = Link(plain: try TCPSocket.dial(address, profile: .suited(to: address)))
            registration = try loop.register(link.number, self)
            self.link = consume link
            isConnected = false
            isAsked = false
            matched = 0
            decoder = FrameDecoder()
            dials += 1
        } catch {
            finish(.nobody)
        }
    }

    private func hangUp() {
        if let registration { loop.deregister(registration) }
        registration = nil
        link = nil
    }

    private func finish(_ finding: Finding) {
        guard let timer else { return }
        loop.cancel(timer)
        self.timer = nil
        hangUp()
        done(finding)
    }

    /// A reset behind a successful connect is an attack or an accident, not an answer: asked again while there is time.
    private func failed(_ error: Errno) {
        hangUp()
        // Whoever has answered so far is a gateway.
        if isAsked, dials >= GatewayProbe.maximumDials { return finish(.gateway(key)) }
        if isConnected, error == .connectionReset, dials < GatewayProbe.maximumDials { dial() } else { finish(.nobody) }
    }

    private func connected() {
        isConnected = true
        guard let security else {
            _ = link?.write(Wire.preface)
            return
        }
        do {
            guard let plain = link.take() else { return }
            link = Link(tls: try TLSConnection(client: try security(), plain.intoSocket(), accepting: .any))
        } catch {
            finish(.keyless("\(error)"))
        }
    }

    private func shake() {
        switch link?.handshake() {
        case .done: ask(Wire.preface)
        case .needsRead, .needsWrite, nil: return
        case .failed(.plainPeer): finish(.disagreeing)
        case .failed(.socket(let error)): failed(error)
        // It shows a key, and does not like this end's.
        case .failed(.refusedByPeer), .failed(.keyRefused): finish(.gateway(link?.peerFingerprint))
        case .failed(.notTLS), .failed(.version), .failed(.application), .failed(.noCertificate), .failed(.closed),
            .failed(.other):
            finish(.stranger)
        }
    }

    private func read() {
        // A gateway that wants TLS says more than its preface, and at once.
        let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.scratch[..<(Wire.preface.count + 1)])
        while let result = link?.read(into: buffer) {
            switch result {
            case .bytes(let count):
                let bytes = loop.scratch[..<min(count, Wire.preface.count - matched)]
                guard Wire.preface[matched...].starts(with: bytes) else { return finish(.stranger) }
                matched += bytes.count
                guard matched == Wire.preface.count else { continue }
                guard count == bytes.count else { return finish(.disagreeing) }
                take(Wire.preface)
                return ask([])
            case .wouldBlock: return
            case .endOfStream: return finish(.stranger)
            case .failed(let error): return failed(error)
            }
        }
    }
}

// MARK: - The destination

extension GatewayProbe {
    /// It is a gateway: what does it do for the destination?
    private func ask(_ greeting: [UInt8]) {
        key = link?.peerFingerprint
        guard let destination, link?.write(greeting + AskMessage(destination: Destination(destination)).encoded) == true
        else { return finish(.gateway(key)) }
        isAsked = true
        hear()
    }

    /// Whatever is no answer leaves the question open, and that it is a gateway.
    private func hear() {
        while let result = link?.read(into: loop.scratch) {
            switch result {
            case .bytes(let count): take([UInt8](UnsafeRawBufferPointer(rebasing: loop.scratch[..<count])))
            case .wouldBlock: return
            case .endOfStream: return finish(.gateway(key))
            case .failed(let error): return failed(error)
            }
        }
    }

    private func take(_ input: [UInt8]) {
        var cursor = 0
        do throws(FrameError) {
            while timer != nil {
                switch try decoder.next(input.span.bytes, &cursor) {
                case .needMore: return
                case .preface: continue
                case .frame(let header) where header.type == .answer:
                    return finish(.gateway(key, try AnswerMessage(payload: decoder.payload).service))
                case .frame, .dataHeader, .data: return finish(.gateway(key))
                }
            }
        } catch {
            finish(.gateway(key))
        }
    }
}

extension GatewayProbe: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            if !isConnected {
                let isDone = try link?.withSocket { (socket) throws(Errno) in try socket.finishConnect() }
                guard isDone == true else { return }
                connected()
            }
            if isAsked { hear() } else if security == nil { read() } else { shake() }
        } catch {
            failed(error)
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        finish(isAsked ? .gateway(key) : isConnected ? .stranger : .nobody)
    }
}
