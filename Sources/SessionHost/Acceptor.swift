public import Engine
import Kernel
import SessionProtocol
public import SystemPackage
public import Transport

/// Accepts connections, not too many in a row, and again when descriptors have run out.
public final class Acceptor {
    /// Connections accepted in a row, and the pause behind them: a flood of them must not keep the loop.
    private static let acceptsPerTurn = 256
    private static let breath = Interval.milliseconds(1)
    /// How soon to try again when descriptors have run out: no event tells when there are some.
    private static let retry = Interval.milliseconds(100)

    private let listeners: [Listener]
    private let loop: EventLoop
    private let failed: (Errno) -> Void
    private let accepted: (consuming TCPSocket) -> Void
    private var retryTimer: TimerToken?
    private var isOutOfDescriptors = false

    /// - Parameters:
    ///   - failed: called when descriptors have run out, once until there are some again.
    ///   - accepted: called with each connection, on the loop. The loop keeps this object.
    public init(
        _ listeners: [Listener], on loop: EventLoop, failed: @escaping (Errno) -> Void,
        accepted: @escaping (consuming TCPSocket) -> Void
    ) throws(Errno) {
        self.listeners = listeners
        self.loop = loop
        self.failed = failed
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
            if !isOutOfDescriptors { failed(error) }
            isOutOfDescriptors = true
            tryAgain(after: Acceptor.retry)
        }
    }

    private func tryAgain(after pause: Interval) {
        if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + pause) }
    }
}

extension Acceptor: EventHandler, TimerHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { accept(from: listeners[Int(tag)]) }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        for listener in listeners { accept(from: listener) }
    }
}

extension Errno {
    /// For people, where connections cannot be accepted for it.
    public var acceptFailure: String { "cannot accept connections: \(self); raise the limit on open files (ulimit -n)" }
}
