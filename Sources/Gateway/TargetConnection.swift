import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A connection to a server on its way to becoming a leg.
final class TargetConnection {
    /// As long as an opener tries.
    private static let limit = Interval.seconds(30)

    private var socket: TCPSocket?
    private let loop: EventLoop
    private var registration: Registration?
    private var timer: TimerToken?
    private let done: (consuming TargetResult) -> Void

    enum TargetResult: ~Copyable {
        case connected(TCPSocket)
        case failed(Errno)
    }

    private init(
        _ socket: consuming TCPSocket, on loop: EventLoop, done: @escaping (consuming TargetResult) -> Void
    ) {
        self.socket = consume socket
        self.loop = loop
        self.done = done
    }

    /// Makes the socket and has it put into escrow by `secure`, which calls its argument when that is done; only then
    /// does it connect, so that the server never sees a connection that could die half known.
    static func open(
        to target: SocketAddress, on loop: EventLoop,
        secure: (_ descriptor: Int32, _ then: @escaping () -> Void) -> Void,
        done: @escaping (consuming TargetResult) -> Void
    ) {
        do {
            let socket = try TCPSocket(family: target.family)
            try LinkProfile.leg.apply(to: socket)
            try socket.setResetOnClose(true)
            let number = socket.number
            let connection = TargetConnection(socket, on: loop, done: done)
            secure(number) { connection.connect(to: target) }
        } catch {
            done(.failed(error))
        }
    }

    private func connect(to target: SocketAddress) {
        guard let number = socket?.number else { return }
        do {
            try socket?.connect(to: target)
            registration = try loop.register(number, self)
            timer = loop.schedule(self, at: loop.now + TargetConnection.limit)
        } catch {
            finish(.failed(error))
        }
    }

    private func finish(_ result: consuming TargetResult) {
        if let registration { loop.deregister(registration) }
        if let timer { loop.cancel(timer) }
        registration = nil
        timer = nil
        done(result)
    }
}

extension TargetConnection: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do {
            guard let isConnected = try socket?.finishConnect(), isConnected, let socket = socket.take() else { return }
            finish(.connected(socket))
        } catch {
            socket = nil
            finish(.failed(error))
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        socket = nil
        finish(.failed(.timedOut))
    }
}
