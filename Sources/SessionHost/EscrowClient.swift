import CLinux
import DequeModule
public import Engine
public import Keeper
public import Kernel
import SessionProtocol
public import SystemPackage

/// The worker's connection to its keeper, on the main loop. What the keeper cannot take yet waits here.
public final class EscrowClient {
    private enum Waiting {
        case hold(EscrowKey, EscrowKind, Int32, then: (EscrowKey) -> Void)
        case release(EscrowKey)
        case legs(count: UInt32, undelivered: UInt64, destination: String)
        case delivered(lost: UInt64)
        case ready
        /// A memory file, closed once the keeper has it.
        case replace(Int32)
    }

    /// How often to try again, besides whenever the keeper has read: the limit on descriptors in flight counts those of
    /// all processes of a user (unix(7)), and no event tells that another's have arrived.
    private static let retryPeriod = Interval.milliseconds(20)

    private let channel: EscrowChannel
    private let loop: EventLoop
    private var backlog: Deque<Waiting> = []
    /// Arenas have the keys below, so that a ledger slot has room for one.
    private static let arenaKeys: UInt64 = 1 << 16
    private var lastArenaKey: UInt64
    private var lastKey: UInt64
    private var registration: Registration?
    /// Set while something waits for the keeper to read.
    private var retryTimer: TimerToken?
    /// What the keeper says; nil when it has died.
    private let receive: (KeeperMessage?) -> Void

    /// - Parameter inherited: the largest keys that the keeper holds already.
    public init(
        _ channel: consuming EscrowChannel, above inherited: Estate.Keys = .init(), on loop: EventLoop,
        receive: @escaping (KeeperMessage?) -> Void
    ) throws(Errno) {
        lastArenaKey = inherited.arena
        lastKey = max(EscrowClient.arenaKeys, inherited.other)
        self.channel = channel
        self.loop = loop
        self.receive = receive
        registration = try loop.register(self.channel.descriptor.number, self, for: .input)
    }

    /// Gives the keeper a copy of a descriptor, and calls `then` when it is safe there: before that, nothing may be
    /// done with it that others can see.
    ///
    /// The caller keeps the descriptor open until then.
    @discardableResult
    public func hold(_ kind: EscrowKind, _ descriptor: Int32, then: @escaping (EscrowKey) -> Void = { _ in })
        -> EscrowKey
    {
        let key: EscrowKey
        if kind == .arena, lastArenaKey + 1 < EscrowClient.arenaKeys {
            lastArenaKey += 1
            key = EscrowKey(lastArenaKey)
        } else {
            lastKey += 1
            key = EscrowKey(lastKey)
        }
        enqueue(.hold(key, kind, descriptor, then: then))
        return key
    }

    public func release(_ key: EscrowKey) { enqueue(.release(key)) }

    public func reportLegs(count: Int, undelivered: UInt64, destination: String) {
        enqueue(.legs(count: UInt32(clamping: count), undelivered: undelivered, destination: destination))
    }

    /// The keeper may say that this process serves.
    public func reportReady() { enqueue(.ready) }

    /// The keeper becomes another program, and this process is killed.
    public func requestReplacement(_ file: consuming Descriptor) { enqueue(.replace(file.release())) }

    public func reportDelivered(lost: UInt64) { enqueue(.delivered(lost: lost)) }

    private func enqueue(_ message: Waiting) {
        backlog.append(message)
        if backlog.count == 1 { drain() }
    }

    private func drain() {
        while let message = backlog.first {
            do throws(Errno) {
                switch message {
                case .hold(let key, let kind, let descriptor, _):
                    try channel.hold(key, kind, descriptor: descriptor)
                case .release(let key): try channel.release(key)
                case .legs(let count, let undelivered, let destination):
                    try channel.reportLegs(count: count, undelivered: undelivered, destination: destination)
                case .delivered(let lost): try channel.reportDelivered(lost: lost)
                case .ready: try channel.reportReady()
                case .replace(let file): try channel.requestReplacement(file)
                }
            } catch .wouldBlock {
                return retryLater()
            } catch {
                // The keeper has died. What is here lives on without escrow until this process ends too.
            }
            backlog.removeFirst()
            switch message {
            case .hold(let key, _, _, let then): then(key)
            case .replace(let file): _ = close(file)
            case .release, .legs, .delivered, .ready: break
            }
        }
    }
}

extension EscrowClient: EventHandler, TimerHandler {
    /// The keeper is watched for room until there is nothing left to tell it.
    private func retryLater() {
        guard retryTimer == nil else { return }
        retryTimer = loop.schedule(self, at: loop.now + EscrowClient.retryPeriod)
        if let registration { try? loop.watch(registration, for: .everything) }
    }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        drain()
        if retryTimer == nil, let registration { try? loop.watch(registration, for: .input) }
    }

    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        drain()
        while true {
            switch (try? channel.receive()) ?? .end {
            case .nothing: return
            case .message(let message): receive(message)
            case .end:
                if let registration { loop.deregister(registration) }
                registration = nil
                return receive(nil)
            }
        }
    }
}
