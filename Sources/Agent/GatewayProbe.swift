import CLinux
import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// Finds out whether a gateway listens at an address: connects, says USL's preface, and waits for the gateway's.
final class GatewayProbe {
    enum Finding: Equatable {
        case gateway
        /// Nobody listens there, or nobody answers.
        case nobody
        /// Something listens that is no gateway; its first bytes, if it said any.
        case stranger
    }

    /// After this time without an answer the peer counts as ordinary.
    static let limit = Interval.milliseconds(300)
    /// Connections made in that time at most, where each is reset.
    static let maximumDials = 8

    private let address: SocketAddress
    private let loop: EventLoop
    private let done: (Finding) -> Void
    private var socket: TCPSocket?
    private var registration: Registration?
    private var timer: TimerToken?
    private var isConnected = false
    private var dials = 0
    private var matched = 0

    private init(_ address: SocketAddress, on loop: EventLoop, done: @escaping (Finding) -> Void) {
        self.address = address
        self.loop = loop
        self.done = done
    }

    /// Calls `done` once, on the loop; where the kernel knows at once that there is no way, before this returns.
    static func start(_ address: SocketAddress, on loop: EventLoop, done: @escaping (Finding) -> Void) {
        let probe = GatewayProbe(address, on: loop, done: done)
        probe.timer = loop.schedule(probe, at: loop.now + limit)
        probe.dial()
    }

    private func dial() {
        do throws(Errno) {
            let socket = try TCPSocket.dial(address, profile: .suited(to: address))
            registration = try loop.register(socket.number, self)
            self.socket = consume socket
            isConnected = false
            matched = 0
            dials += 1
        } catch {
            finish(.nobody)
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
        if isConnected, error == .connectionReset, dials < GatewayProbe.maximumDials { dial() } else { finish(.nobody) }
    }

    private func read() {
        let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.scratch[..<Wire.preface.count])
        while let result = socket?.receive(into: buffer) {
            switch result {
            case .bytes(let count):
                let bytes = loop.scratch[..<count]
                guard Wire.preface[matched...].starts(with: bytes) else { return finish(.stranger) }
                matched += count
                if matched == Wire.preface.count { return finish(.gateway) }
            case .wouldBlock: return
            case .endOfStream: return finish(.stranger)
            case .failed(let error): return failed(error)
            }
        }
    }
}

extension GatewayProbe: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            if !isConnected {
                guard try socket?.finishConnect() == true else { return }
                isConnected = true
                Wire.preface.withUnsafeBytes { bytes in
                    var vector = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                    withUnsafePointer(to: &vector) { _ = socket?.send(UnsafeBufferPointer(start: $0, count: 1)) }
                }
            }
            read()
        } catch {
            failed(error)
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) { finish(isConnected ? .stranger : .nobody) }
}
