import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A connection to a front that may be an in-band probe: its peer has the mark. It is one if it ends its stream without having
/// said anything.
final class ProbedConnection {
    /// How long the end may be away. It comes with the handshake, or when the prober is scheduled again; and nobody else has the
    /// mark, whom a server that speaks first would keep waiting.
    private static let patience = Interval.milliseconds(300)

    enum Kind: ~Copyable {
        case probe(TCPSocket)
        case ordinary(TCPSocket)
        /// The connection has broken.
        case gone
    }

    private var socket: TCPSocket?
    private let loop: EventLoop
    private let decided: (consuming Kind) -> Void
    private var registration: Registration?
    private var timer: TimerToken?

    private init(_ socket: consuming TCPSocket, on loop: EventLoop, _ decided: @escaping (consuming Kind) -> Void) {
        self.socket = consume socket
        self.loop = loop
        self.decided = decided
    }

    /// Calls `decided` once, before this returns if it is known by then.
    static func examine(
        _ socket: consuming TCPSocket, on loop: EventLoop, decided: @escaping (consuming Kind) -> Void
    ) {
        let connection = ProbedConnection(socket, on: loop, decided)
        connection.look()
        guard let number = connection.socket?.number else { return }
        do throws(Errno) {
            connection.registration = try loop.register(number, connection)
            connection.timer = loop.schedule(connection, at: loop.now + patience)
        } catch {
            connection.finish()
        }
    }

    /// What has come stays where it is.
    private func look() {
        var byte: UInt8 = 0
        switch socket?.peek(&byte) {
        case .wouldBlock, nil: break
        case .endOfStream: if let socket = leave() { decided(.probe(socket)) }
        case .bytes: finish()
        case .failed:
            _ = leave()
            decided(.gone)
        }
    }

    private func finish() {
        if let socket = leave() { decided(.ordinary(socket)) }
    }

    private func leave() -> TCPSocket? {
        if let registration { loop.deregister(registration) }
        if let timer { loop.cancel(timer) }
        registration = nil
        timer = nil
        return socket.take()
    }
}

extension ProbedConnection: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { look() }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        finish()
    }
}
