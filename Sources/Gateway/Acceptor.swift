import Engine
import Kernel
import Logging
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// Accepts connections, not too many in a row, and again when descriptors have run out.
final class Acceptor {
    /// Connections accepted in a row, and the pause behind them: a flood of them must not keep the loop.
    private static let acceptsPerTurn = 256
    private static let breath = Interval.milliseconds(1)
    /// How soon to try again when descriptors have run out: no event tells when there are some.
    private static let retry = Interval.milliseconds(100)

    private let listeners: [Listener]
    private let loop: EventLoop
    private let logger: Logger
    private let accepted: (consuming TCPSocket) -> Void
    private var retryTimer: TimerToken?
    private var isOutOfDescriptors = false

    /// - Parameter accepted: called with each connection, on the loop. The loop keeps this object.
    init(
        _ listeners: [Listener], on loop: EventLoop, _ logger: Logger, accepted: @escaping (consuming TCPSocket) -> Void
    ) throws(Errno) {
        self.listeners = listeners
        self.loop = loop
        self.logger = logger
        self.accepted = accepted
        for (index, listener) in listeners.enumerated() {
            _ = try loop.register(listener.socket.number, self, tag: UInt32(index))
        }
    }

    private func accept(from listener: Listener) {
        do throws(Errno) {
            for _ in 0..<Acceptor.acceptsPerTurn {
                guard let socket = try listener.socket.accept() else {
                    isOutOfDescriptors = false
                    return
                }
                accepted(socket)
            }
            tryAgain(after: Acceptor.breath)
        } catch {
            if !isOutOfDescriptors {
                logger.warning("cannot accept connections: \(error); raise the limit on open files (ulimit -n)")
            }
            isOutOfDescriptors = true
            tryAgain(after: Acceptor.retry)
        }
    }

    private func tryAgain(after pause: Interval) {
        if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + pause) }
    }
}

extension Acceptor: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { accept(from: listeners[Int(tag)]) }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        for listener in listeners { accept(from: listener) }
    }
}
