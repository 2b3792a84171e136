import CLinux
import Engine
import Kernel
import Logging
import Policy
import SessionHost
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Gateway
@testable import Keeper

/// A front door with one loop, on a thread of its own, and a server behind it.
final class GatewayUnderTest {
    let address: SocketAddress
    let server: TCPSocket
    let serverAddress: SocketAddress
    /// Of a front before the server, if it has one.
    let front: SocketAddress?
    private let thread: LoopThread
    private let door: LoopBound<FrontDoor>
    /// Stands for the keeper, which reads nothing here.
    private let keeper: Descriptor

    /// - Parameters:
    ///   - hasFront: whether a front stands before the server.
    ///   - state: where its key is; nil: links are plain.
    ///   - authorized: the file of `--authorized`.
    ///   - log: gets what it says to people.
    init(
        allow: String? = nil, strangers: StrangerLimits = StrangerLimits(), sendsProxyHeader: Bool = false,
        hasFront: Bool = false, state: StateDirectory? = nil, authorized: String? = nil,
        log: any LogHandler = SwiftLogNoOpLogHandler()
    ) throws {
        server = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))
        serverAddress = try server.localAddress()
        let listener = Listener(try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0)))
        address = try listener.socket.localAddress()
        let entry = hasFront ? Listener(try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0))) : nil
        front = try entry?.socket.localAddress()
        let pair = try SocketPair(nonBlocking: true)
        let channel = Handoff(EscrowChannel(owning: try pair.first.duplicate()))
        keeper = pair.keepSecond()
        var options = GatewayOptions(
            listen: [address], allow: AllowList(try AllowedTarget.parse(allow ?? serverAddress.description)),
            state: state ?? StateDirectory(path: "/nonexistent"))
        options.isPlain = state == nil
        options.authorized = authorized
        options.limits.strangers = strangers
        options.sendsProxyHeader = sendsProxyHeader
        if let front { options.fronts = [Front(listen: [front], targets: [serverAddress], text: "front")] }
        let made = Made()
        let limits = ArenaLimits(capacity: 64 << 20)
        thread = try EventLoop.start(name: "gateway", arena: limits) { [options] loop in
            do {
                guard let channel = channel.take() else { return }
                let escrow = try EscrowClient(channel, on: loop) { _ in }
                let pool = LoopPool(main: loop, maximum: 1, arenaLimits: limits)
                let logger = Logger(label: "test", factory: { _ in log })
                let door = try FrontDoor(
                    options, instance: GatewayUnderTest.instance, links: try LinkAdmission(options, logger),
                    listeners: [listener, entry].compactMap { $0 }, escrow: escrow, pool: pool,
                    ledger: try SessionLedger(escrow: escrow), logger: logger)
                made.set(LoopBound(door, on: loop))
            } catch {
                made.set(nil)
            }
        }
        door = try #require(made.wait())
    }

    static let instance: UInt64 = 77

    private var legs: Set<EscrowKey> = []

    /// Legs that a keeper would hold now: put into escrow and not released.
    func legsInEscrow() -> Int {
        while let message = try? DescriptorPassing.receive(capacity: 512, over: keeper.number) {
            switch WorkerMessage(message.bytes) {
            case .hold(let key, .leg): legs.insert(key)
            case .release(let key): legs.remove(key)
            case .hold, .report, .replace, nil: break
            }
        }
        return legs.count
    }

    deinit {
        thread.mailbox.post { $0.stop() }
        thread.join()
    }

    /// A session with its link 0, plain or over TLS.
    func openSession(over context: TLSContext? = nil) throws -> (HandMadeSession, HandMadeOpener) {
        let session = try HandMadeSession(1, to: serverAddress)
        let opener =
            if let context { try HandMadeOpener(address, over: context) } else { try HandMadeOpener(address) }
        opener.say(session.greeting)
        let answer = try #require(try opener.hear())
        #expect(answer.header.type == .opened)
        try session.opened(answer)
        return (session, opener)
    }

    /// Asks the front door something, on its loop.
    func ask<Answer: Sendable>(_ question: @escaping @Sendable (FrontDoor) -> Answer) -> Answer? {
        let answer = Slot<Answer>()
        let door = door
        thread.mailbox.post { answer.set(question(door.on($0))) }
        return answer.wait()
    }
}

private typealias Made = Slot<LoopBound<FrontDoor>>

/// A value from another thread.
private final class Slot<Value: Sendable>: @unchecked Sendable {
    // Unchecked: `value` is written before and read after the semaphore, which orders the two.
    private var value: Value?
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func set(_ value: Value?) {
        self.value = value
        sem_post(semaphore)
    }

    func wait() -> Value? {
        while sem_wait(semaphore) != 0 {}
        return value
    }
}
