import CLinux
import Engine
import Keeper
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A connection to a server on its way to becoming a leg.
final class TargetConnection {
    /// As long as an opener tries.
    private static let limit = Interval.seconds(30)

    private var socket: TCPSocket?
    private var escrowKey: EscrowKey?
    private let loop: EventLoop
    private var registration: Registration?
    private var timer: TimerToken?
    /// What the server hears first.
    private let header: [UInt8]
    private let connecting: (_ leg: SocketAddress) -> Void
    private let done: (consuming TargetResult) -> Void

    enum TargetResult: ~Copyable {
        /// The socket, and its copy in escrow.
        case connected(TCPSocket, EscrowKey)
        /// Without a key, nothing was put into escrow.
        case failed(Errno, EscrowKey?)
    }

    private init(
        _ socket: consuming TCPSocket, header: [UInt8], on loop: EventLoop,
        connecting: @escaping (_ leg: SocketAddress) -> Void, done: @escaping (consuming TargetResult) -> Void
    ) {
        self.socket = consume socket
        self.connecting = connecting
        self.header = header
        self.loop = loop
        self.done = done
    }

    /// Makes the socket and has it put into escrow by `secure`, which calls its argument when that is done; only then
    /// does it connect, so that the server never sees a connection that could die half known. Calls `done` once, which may
    /// be before this returns.
    ///
    /// - Parameters:
    ///   - connecting: told the local address of the connection when it is on its way.
    ///   - header: bytes that the server gets before `done` hears of it, and before the ledger does. So they are among
    ///     what the leg's counters stand at when the session begins (`LegReading.base`), and never among its positions; a
    ///     successor that finds the leg and no slot for it resets it.
    static func open(
        to target: SocketAddress, sending header: [UInt8], on loop: EventLoop,
        secure: (_ descriptor: Int32, _ then: @escaping (EscrowKey) -> Void) -> Void,
        connecting: @escaping (_ leg: SocketAddress) -> Void = { _ in },
        done: @escaping (consuming TargetResult) -> Void
    ) {
        do {
            let socket = try TCPSocket(family: target.family)
            try LinkProfile.leg.apply(to: socket)
            try socket.setResetOnClose(true)
            let number = socket.number
            let connection = TargetConnection(socket, header: header, on: loop, connecting: connecting, done: done)
            secure(number) { key in connection.connect(to: target, key) }
        } catch {
            done(.failed(error, nil))
        }
    }

    private func connect(to target: SocketAddress, _ key: EscrowKey) {
        escrowKey = key
        guard let number = socket?.number else { return }
        do {
            try socket?.connect(to: target)
            // On this host the server may have it by now, and ask who it is.
            if let leg = try socket?.localAddress() { connecting(leg) }
            registration = try loop.register(number, self)
            timer = loop.schedule(self, at: loop.now + TargetConnection.limit)
        } catch {
            fail(error)
        }
    }

    /// The send buffer of a new connection takes it whole (tcp(7), `tcp_wmem`).
    private func sendHeader() throws(Errno) {
        guard !header.isEmpty else { return }
        let result = header.withUnsafeBytes { bytes in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            return withUnsafePointer(to: &vector) { socket?.send(UnsafeBufferPointer(start: $0, count: 1)) }
        }
        switch result {
        case .bytes(header.count): return
        case .failed(let error): throw error
        case .bytes, .wouldBlock, .endOfStream, nil: throw .noBufferSpace
        }
    }

    private func fail(_ error: Errno) {
        stopWaiting()
        // Closing would not do while the keeper holds a copy.
        _ = try? socket?.abort()
        socket = nil
        done(.failed(error, escrowKey))
    }

    private func stopWaiting() {
        if let registration { loop.deregister(registration) }
        if let timer { loop.cancel(timer) }
        registration = nil
        timer = nil
    }
}

extension TargetConnection: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do {
            guard try socket?.finishConnect() == true, let escrowKey else { return }
            try sendHeader()
            guard let socket = socket.take() else { return }
            stopWaiting()
            done(.connected(socket, escrowKey))
        } catch {
            fail(error)
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        fail(.timedOut)
    }
}
