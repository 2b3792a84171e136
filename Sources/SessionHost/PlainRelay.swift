import CLinux
public import Engine
public import Kernel
import SessionProtocol
public import SystemPackage
public import Transport

/// Carries an accepted connection on to a server over plain TCP, as if nobody were between: bytes, the end of each direction by
/// itself, and resets. A broken side breaks the other.
public final class PlainRelay {
    /// Bytes of each direction that the other side has not taken. Only then is there a buffer: most relays are idle.
    private static let bufferSize = 64 * 1024
    private static let turnLimit = 4 << 20
    /// How soon to try again to read when there was no memory for what would be read.
    private static let memoryRetry = Interval.milliseconds(20)

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

        var hasRoom: Bool { buffer.capacity == 0 || buffer.freeSpace > 0 }
    }

    private enum Tag: UInt32 {
        case client
        case server
    }

    private let client: Side
    private var server: Side?
    /// Where the server may be; those behind the present one.
    private var targets: ArraySlice<SocketAddress>
    private var isConnected = false
    private let loop: EventLoop
    private var ended: ((Errno?) -> Void)?
    private var retryTimer: TimerToken?
    public var isQueued = false

    /// Connects and relays. The first target that can be connected to is the one.
    ///
    /// - Parameters:
    ///   - header: bytes that the server hears before those of the client.
    ///   - ended: called once, on the loop, when nothing is left; with an error if no target could be connected to. The client's
    ///     connection is reset then. May be called before this returns.
    public static func start(
        _ client: consuming TCPSocket, to targets: [SocketAddress], saying header: [UInt8] = [], on loop: EventLoop,
        ended: @escaping (Errno?) -> Void
    ) {
        let relay = PlainRelay(client, targets, loop, ended)
        do throws(Errno) {
            if !header.isEmpty, header.withUnsafeBytes({ relay.client.buffer.append($0) }) < header.count {
                throw .noMemory
            }
            try relay.watch(relay.client, .client)
            try relay.dial()
        } catch {
            relay.close(inOrder: false, error)
        }
    }

    /// Carries a connection on over another that is there already.
    ///
    /// - Parameter ended: called once, on the loop, when nothing is left.
    public static func join(
        _ client: consuming TCPSocket, with server: consuming TCPSocket, on loop: EventLoop, ended: @escaping () -> Void
    ) {
        let relay = PlainRelay(client, [], loop) { _ in ended() }
        let side = Side(server, loop)
        do throws(Errno) {
            try relay.watch(relay.client, .client)
            try relay.watch(side, .server)
            relay.server = side
            relay.isConnected = true
        } catch {
            relay.close(inOrder: false, error)
        }
    }

    private init(
        _ client: consuming TCPSocket, _ targets: [SocketAddress], _ loop: EventLoop,
        _ ended: @escaping (Errno?) -> Void
    ) {
        self.client = Side(client, loop)
        self.targets = targets[...]
        self.loop = loop
        self.ended = ended
    }

    private func watch(_ side: Side, _ tag: Tag) throws(Errno) {
        // Whatever this process dies of, what is cut short must not look like an end.
        try side.socket.setResetOnClose(true)
        // An urgent byte would be lost otherwise.
        try side.socket.keepUrgentBytesInline()
        side.registration = try loop.register(side.socket.number, self, tag: tag.rawValue)
    }

    /// Connects to the next target that the kernel knows a way to.
    private func dial() throws(Errno) {
        var failure = Errno.noSuchAddressOrDevice
        while let target = targets.popFirst() {
            do throws(Errno) {
                let side = Side(try TCPSocket.dial(target, profile: .relayed(to: target)), loop)
                try watch(side, .server)
                server = side
                return
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private func finishConnect(_ side: Side) {
        do throws(Errno) {
            do throws(Errno) {
                isConnected = try side.socket.finishConnect()
            } catch {
                if let registration = side.registration { loop.deregister(registration) }
                server = nil
                guard !targets.isEmpty else { throw error }
                try dial()
            }
        } catch {
            close(inOrder: false, error)
        }
    }

    /// Moves what can be moved.
    private func pump() {
        guard isConnected, let server else { return }
        var total = 0
        var moved = true
        while moved {
            moved = false
            for (from, to) in [(client, server), (server, client)] {
                switch (read(from), write(from, to)) {
                case (.some(let read), .some(let written)):
                    total += written
                    moved = moved || read + written > 0
                case (nil, _), (_, nil): return close(inOrder: false)
                }
            }
            if total > PlainRelay.turnLimit { return loop.runLater(self) }
        }
        if client.endIsPassedOn, server.endIsPassedOn { return close(inOrder: true) }
        client.buffer.trim()
        server.buffer.trim()
    }

    /// Bytes read; nil when the side is broken.
    private func read(_ side: Side) -> Int? {
        guard side.isReadable, !side.hasEnded, side.hasRoom else { return 0 }
        let result = side.buffer.withFree { (first, second) in side.socket.receive(into: first, second) }
        switch result {
        case .bytes(let count):
            side.buffer.commit(count)
            return count
        case .wouldBlock: side.isReadable = false
        case nil: if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + PlainRelay.memoryRetry) }
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

    private func close(inOrder: Bool, _ failure: Errno? = nil) {
        for side in [client, server].compactMap({ $0 }) {
            if inOrder { _ = try? side.socket.setResetOnClose(false) } else { _ = try? side.socket.abort() }
            if let registration = side.registration { loop.deregister(registration) }
            side.registration = nil
        }
        if let retryTimer { loop.cancel(retryTimer) }
        isConnected = false
        ended.take()?(failure)
    }
}

extension PlainRelay: EventHandler, LoopTask, TimerHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        let isServer = tag == Tag.server.rawValue
        guard let side = isServer ? server : client else { return }
        if !events.isDisjoint(with: [.readable, .peerClosed, .error, .hangup]) { side.isReadable = true }
        if !events.isDisjoint(with: [.writable, .error, .hangup]) { side.isWritable = true }
        if isServer, !isConnected { finishConnect(side) }
        pump()
    }

    public func run(on loop: EventLoop) { pump() }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        pump()
    }
}
