import CLinux
import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// Carries a forwarded connection over plain TCP, where the target has no gateway. A broken side breaks the other.
final class PlainRelay {
    private static let bufferSize = 64 * 1024
    private static let turnLimit = 4 << 20

    private final class Side {
        let socket: TCPSocket
        var registration: Registration?
        var isReadable = false
        var isWritable = false
        /// What was read here and the other side has not taken.
        var buffer: Ring
        var hasEnded = false
        var endIsPassedOn = false

        init(_ socket: consuming TCPSocket, _ loop: EventLoop) {
            self.socket = socket
            buffer = Ring(arena: loop.arena, maximum: PlainRelay.bufferSize)
        }
    }

    private let sides: [Side]
    private let loop: EventLoop
    private var isConnected = false
    private let failed: (Errno) -> Void
    private let ended: () -> Void
    var isQueued = false

    static func start(
        _ leg: consuming TCPSocket, to target: SocketAddress, on loop: EventLoop, failed: @escaping (Errno) -> Void
    ) {
        do throws(Errno) {
            let outgoing = try TCPSocket.dial(target, profile: .suited(to: target))
            try outgoing.setResetOnClose(true)
            let relay = PlainRelay(leg, outgoing, loop, failed: failed, ended: {})
            try relay.begin()
        } catch {
            failed(error)
        }
    }

    /// Carries a connection on over another that is there already.
    ///
    /// - Parameter ended: called when both are closed.
    static func join(
        _ leg: consuming TCPSocket, with target: consuming TCPSocket, on loop: EventLoop, ended: @escaping () -> Void
    ) {
        _ = try? leg.setResetOnClose(true)
        _ = try? target.setResetOnClose(true)
        let relay = PlainRelay(leg, target, loop, failed: { _ in }, ended: ended)
        relay.isConnected = true
        // Where it cannot begin, it closes both.
        _ = try? relay.begin()
    }

    private init(
        _ leg: consuming TCPSocket, _ target: consuming TCPSocket, _ loop: EventLoop,
        failed: @escaping (Errno) -> Void, ended: @escaping () -> Void
    ) {
        sides = [Side(leg, loop), Side(target, loop)]
        self.loop = loop
        self.failed = failed
        self.ended = ended
    }

    private func begin() throws(Errno) {
        do throws(Errno) {
            for (index, side) in sides.enumerated() {
                // Now, so that an arena without room is an error, and not a connection that stands still.
                guard side.buffer.grow(to: 1) else { throw .noMemory }
                // An urgent byte would be lost otherwise.
                try side.socket.keepUrgentBytesInline()
                side.registration = try loop.register(side.socket.number, self, tag: UInt32(index))
            }
        } catch {
            close(inOrder: false)
            throw error
        }
    }

    /// Moves what can be moved.
    private func pump() {
        guard isConnected else { return }
        var total = 0
        var moved = true
        while moved {
            moved = false
            for (from, to) in [(sides[0], sides[1]), (sides[1], sides[0])] {
                switch (read(from), write(from, to)) {
                case (.some(let read), .some(let written)):
                    total += written
                    moved = moved || read + written > 0
                case (nil, _), (_, nil): return close(inOrder: false)
                }
            }
            if total > PlainRelay.turnLimit { return loop.runLater(self) }
        }
        if sides.allSatisfy(\.endIsPassedOn) { close(inOrder: true) }
    }

    /// Bytes read; nil when the side is broken.
    private func read(_ side: Side) -> Int? {
        guard side.isReadable, !side.hasEnded, side.buffer.freeSpace > 0 else { return 0 }
        let result = side.buffer.withFree { (first, second) in side.socket.receive(into: first, second) }
        switch result {
        case .bytes(let count):
            side.buffer.commit(count)
            return count
        case .wouldBlock, nil: side.isReadable = false
        case .endOfStream: side.hasEnded = true
        case .failed: return nil
        }
        return 0
    }

    /// Bytes written; nil when the side is broken.
    private func write(_ from: Side, _ to: Side) -> Int? {
        if from.buffer.isEmpty {
            if from.hasEnded, !from.endIsPassedOn {
                from.endIsPassedOn = true
                guard (try? to.socket.shutdownSending()) != nil else { return nil }
            }
            return 0
        }
        guard to.isWritable else { return 0 }
        let (first, second) = from.buffer.spans(of: from.buffer.base..<from.buffer.end)
        var delivery = Delivery()
        delivery.append(first)
        if let second { delivery.append(second) }
        switch delivery.withVector({ to.socket.send($0) }) {
        case .bytes(let count):
            from.buffer.release(below: from.buffer.base + UInt64(count))
            return count
        case .wouldBlock, .endOfStream: to.isWritable = false
        case .failed: return nil
        }
        return 0
    }

    private func close(inOrder: Bool) {
        for side in sides {
            if inOrder { _ = try? side.socket.setResetOnClose(false) } else { _ = try? side.socket.abort() }
            if let registration = side.registration { loop.deregister(registration) }
            side.registration = nil
        }
        isConnected = false
        ended()
    }
}

extension PlainRelay: EventHandler, LoopTask {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        let side = sides[Int(tag)]
        if !events.isDisjoint(with: [.readable, .peerClosed, .error, .hangup]) { side.isReadable = true }
        if !events.isDisjoint(with: [.writable, .error, .hangup]) { side.isWritable = true }
        if !isConnected, tag == 1 {
            do throws(Errno) {
                isConnected = try side.socket.finishConnect()
            } catch {
                failed(error)
                return close(inOrder: false)
            }
        }
        pump()
    }

    func run(on loop: EventLoop) { pump() }
}
