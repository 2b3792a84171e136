import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// Asks a gateway for the addresses of a name, over a link of its own, which is made again when it breaks. On the main loop.
final class GatewayLookup {
    enum Answer {
        case found([SocketAddress.Host])
        case refused(RefusedMessage)
        case failed(LinkFailure)
    }

    /// After this time nobody waits for an answer: the gateway's resolver has 5 s of it.
    private static let limit = Interval.seconds(15)
    /// Pauses between links; each is twice as long as the one before.
    private static let firstPause = Interval.milliseconds(50)

    private enum Stage {
        case waiting
        case connecting
        case securing
        case asked
        case over
    }

    private let question: LookupMessage
    private let route: GatewayRoute
    private let loop: EventLoop
    private var protection: LinkProtection
    private let done: (Answer) -> Void
    private var stage = Stage.waiting
    private var gateway: SocketAddress
    private var socket: TCPSocket?
    private var link: Link?
    private var decoder = FrameDecoder()
    private var registration: Registration?
    private var retry: TimerToken?
    private var deadline: TimerToken?
    private var pause = GatewayLookup.firstPause
    private var dials = 0
    private var lastFailure = LinkFailure.handshakeTimeout

    /// - Parameter done: called once.
    static func start(
        _ question: LookupMessage, through route: GatewayRoute, _ protection: LinkProtection, on loop: EventLoop,
        done: @escaping (Answer) -> Void
    ) {
        let lookup = GatewayLookup(question, route, protection, loop, done)
        lookup.deadline = loop.schedule(lookup, at: loop.now + limit)
        lookup.dial()
    }

    private init(
        _ question: LookupMessage, _ route: GatewayRoute, _ protection: LinkProtection, _ loop: EventLoop,
        _ done: @escaping (Answer) -> Void
    ) {
        self.question = question
        self.route = route
        self.protection = protection
        self.loop = loop
        self.done = done
        gateway = route.addresses[0]
    }

    private func dial() {
        gateway = route.addresses[dials % route.addresses.count]
        dials += 1
        do throws(Errno) {
            let socket = try TCPSocket.dial(
                gateway, from: route.sources.first { $0.suits(gateway) } ?? .anywhere, transport: route.transport,
                profile: .suited(to: gateway))
            stage = .connecting
            registration = try loop.register(socket.number, self)
            self.socket = consume socket
        } catch {
            failed(.socket(error.rawValue))
        }
    }

    private func finishConnect() {
        do {
            guard try socket?.finishConnect() == true, let socket = socket.take() else { return }
            link = try protection.link(over: socket, to: gateway)
            stage = .securing
            shake()
        } catch {
            failed((error as? Errno).map { .socket($0.rawValue) } ?? .security(.handshake))
        }
    }

    private func shake() {
        switch link?.handshake() {
        case .needsRead, .needsWrite, nil: return
        case .failed(let failure):
            protection.failed(failure)
            return failed(LinkFailure(failure))
        case .done: break
        }
        if let fingerprint = link?.peerFingerprint, !protection.trusts(fingerprint) {
            return failed(.security(.untrustedKey))
        }
        stage = .asked
        guard link?.write(Wire.preface + question.encoded) == true else { return failed(.closed) }
        read()
    }

    private func read() {
        while case .asked = stage, let result = link?.read(into: loop.scratch) {
            switch result {
            case .bytes(let count): take([UInt8](UnsafeRawBufferPointer(rebasing: loop.scratch[..<count])))
            case .wouldBlock: return
            case .endOfStream: return failed(.closed)
            case .failed(let error):
                guard let failure = link?.tlsFailure else { return failed(.socket(error.rawValue)) }
                protection.failed(failure)
                return failed(LinkFailure(failure))
            }
        }
    }

    private func take(_ input: [UInt8]) {
        var cursor = 0
        do throws(FrameError) {
            while case .asked = stage {
                switch try decoder.next(input.span.bytes, &cursor) {
                case .needMore: return
                case .preface: break
                case .frame(let header): try take(header)
                case .dataHeader, .data: throw .unexpected(.data)
                }
            }
        } catch {
            failed(.frame(error))
        }
    }

    private func take(_ header: FrameHeader) throws(FrameError) {
        switch header.type {
        case .found:
            let message = try FoundMessage(payload: decoder.payload)
            finish(
                .found(
                    message.addresses.compactMap {
                        Destination(address: $0, port: question.port)?.socketAddress.host.unmapped
                    }))
        case .refused: finish(.refused(try RefusedMessage(payload: decoder.payload)))
        case .open, .opened, .attach, .attached, .gone, .lookup, .ask, .answer, .data, .ack, .fin, .abort, .ping,
            .pong, .leave:
            throw .unexpected(header.type)
        }
    }

    // MARK: - Ends

    private func failed(_ failure: LinkFailure) {
        lastFailure = failure
        hangUp()
        // Another try would find the same.
        switch failure {
        case .security(.untrustedKey), .security(.notAdmitted), .security(.plainPeer), .frame:
            return finish(.failed(failure))
        case .closed, .socket, .handshakeTimeout, .silent, .unproven, .staleEpoch, .otherInstance, .security: break
        }
        stage = .waiting
        retry = loop.schedule(self, at: loop.now + pause)
        pause = pause * 2
    }

    private func hangUp() {
        if let registration { loop.deregister(registration) }
        registration = nil
        socket = nil
        link = nil
        decoder = FrameDecoder()
    }

    private func finish(_ answer: Answer) {
        guard stage != .over else { return }
        stage = .over
        hangUp()
        for timer in [retry, deadline] { if let timer { loop.cancel(timer) } }
        (retry, deadline) = (nil, nil)
        done(answer)
    }
}

extension GatewayLookup: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        switch stage {
        case .connecting: finishConnect()
        case .securing: shake()
        case .asked: read()
        case .waiting, .over: break
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        if token == deadline {
            deadline = nil
            return finish(.failed(lastFailure))
        }
        retry = nil
        dial()
    }
}
