import CLinux
import Engine
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage
import Transport

/// Asks a destination itself whether it has enhancements: connects, ends its stream at once, and reads what comes. An ordinary
/// server sees a client that goes without a word.
final class InBandProbe {
    enum Finding: Equatable {
        case answer(EnhancementAnswer)
        /// An ordinary server, nobody, or no answer in time.
        case ordinary
        /// It begins like an answer, and is none.
        case garbage
    }

    /// Connections made where each is reset. A server that resets every one sees no more.
    static let maximumDials = 3

    private let address: SocketAddress
    private let loop: EventLoop
    private let done: (Finding) -> Void
    private var socket: TCPSocket?
    private var registration: Registration?
    private var timer: TimerToken?
    private var isConnected = false
    private var dials = 0
    private var heard: [UInt8] = []

    private init(_ address: SocketAddress, on loop: EventLoop, done: @escaping (Finding) -> Void) {
        self.address = address
        self.loop = loop
        self.done = done
    }

    /// Calls `done` once, on the loop; where the kernel knows at once that there is no way, before this returns.
    static func start(_ address: SocketAddress, on loop: EventLoop, done: @escaping (Finding) -> Void) {
        let probe = InBandProbe(address, on: loop, done: done)
        probe.timer = loop.schedule(probe, at: loop.now + GatewayProbe.limit)
        probe.dial()
    }

    private func dial() {
        do throws(Errno) {
            let socket = try ProbeMark.dial(address)
            registration = try loop.register(socket.number, self)
            self.socket = consume socket
            isConnected = false
            heard = []
            dials += 1
        } catch {
            finish(.ordinary)
        }
    }

    private func hangUp() {
        if let registration { loop.deregister(registration) }
        registration = nil
        socket = nil
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
        if isConnected, error == .connectionReset, dials < InBandProbe.maximumDials {
            dial()
        } else {
            finish(.ordinary)
        }
    }

    private func read() {
        let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.scratch[..<(EnhancementAnswer.maximumSize + 1)])
        while let result = socket?.receive(into: buffer) {
            switch result {
            case .bytes(let count):
                heard += buffer[..<count]
                switch EnhancementAnswer.read(heard) {
                case .incomplete: continue
                case .complete(let answer): return finish(.answer(answer))
                case .foreign: return finish(.ordinary)
                case .malformed: return finish(.garbage)
                }
            case .wouldBlock: return
            case .endOfStream: return finish(isAnswerBegun ? .garbage : .ordinary)
            case .failed(let error): return failed(error)
            }
        }
    }

    /// A few bytes may be anything.
    private var isAnswerBegun: Bool { heard.count >= 8 }
}

extension InBandProbe: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            if !isConnected {
                guard try socket?.finishConnect() == true else { return }
                isConnected = true
                try socket?.shutdownSending()
            }
            read()
        } catch {
            failed(error)
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) { finish(.ordinary) }
}
