import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SystemPackage

/// An application that waits at a held address for its verdict, on the main loop. The address is in escrow, so that it goes
/// on waiting if this process dies.
final class HeldApplication {
    /// Where it waits: a loopback address, never IPv4-mapped.
    let address: SocketAddress
    private let loop: EventLoop
    private let escrow: EscrowClient
    private let owner: LegOwner
    private var held: HeldAddress?
    /// The address's copy in escrow, once it is there.
    private(set) var key: EscrowKey?
    /// Sockets of `held` that are on their way into escrow: their numbers must not become another's until then.
    private var onTheirWay = 0
    private var isOver = false
    private var registration: Registration?
    /// The socket of a simultaneous open, which is put into escrow before it can become the leg.
    private var opener: (number: Int32, key: EscrowKey)?
    private var expected: ExpectedLeg?
    private var arrived: ((consuming Leg, EscrowKey?) -> Void)?
    private var failed: ((Errno) -> Void)?

    /// Makes the address. Before the application is sent there, it must be secured.
    ///
    /// - Parameter family: of the leg, see ``ExpectedLeg``.
    init(family: Int32, _ agent: Agent) throws(Errno) {
        let held = try HeldAddress(family: family)
        address = held.address
        self.held = consume held
        (loop, escrow, owner) = (agent.loop, agent.escrow, agent.legOwner)
    }

    /// Goes on where a predecessor has left an application waiting.
    init(adopting listener: consuming Descriptor, _ key: EscrowKey, _ agent: Agent) throws(Errno) {
        let held = try HeldAddress(adopting: listener)
        address = held.address
        self.held = consume held
        self.key = key
        (loop, escrow, owner) = (agent.loop, agent.escrow, agent.legOwner)
    }

    /// Puts the address into escrow, and calls `then` when it is there.
    func secure(then: @escaping (EscrowKey) -> Void) {
        guard let number = held?.listenerNumber else { return }
        hold(.held, number) { [self] in
            key = $0
            then($0)
        }
    }

    /// Lets the application through.
    ///
    /// - Parameters:
    ///   - expected: its leg.
    ///   - arrived: called with the leg, and its key if it is in escrow already. This is over then.
    func release(
        _ expected: ExpectedLeg, arrived: @escaping (consuming Leg, EscrowKey?) -> Void,
        failed: @escaping (Errno) -> Void
    ) {
        (self.expected, self.arrived, self.failed) = (expected, arrived, failed)
        attempt { () throws(Errno) in
            let opener = try held?.release(to: expected.source, isMultipath: expected.isMultipath)
            if let descriptor = held?.releaseDescriptor { registration = try loop.register(descriptor, self) }
            guard let opener else { return takeLeg() }
            hold(.leg, opener) { [self] key in
                self.opener = (opener, key)
                attempt { () throws(Errno) in try held?.meetApplication() }
                takeLeg()
            }
        }
    }

    /// The application waits no more: it has come, or it is refused, by the answer to the next SYN that the kernel sends
    /// for it.
    func end() {
        guard !isOver else { return }
        isOver = true
        (arrived, failed) = (nil, nil)
        if let registration { loop.deregister(registration) }
        registration = nil
        if let opener { escrow.release(opener.key) }
        opener = nil
        if let key { escrow.release(key) }
        closeIfOver()
    }

    private func closeIfOver() {
        if isOver, onTheirWay == 0 { held = nil }
    }

    private func hold(_ kind: EscrowKind, _ number: Int32, then: @escaping (EscrowKey) -> Void) {
        onTheirWay += 1
        escrow.hold(kind, number) { [self] key in
            onTheirWay -= 1
            guard isOver else { return then(key) }
            escrow.release(key)
            closeIfOver()
        }
    }

    private func takeLeg() {
        attempt { () throws(Errno) in
            while let leg = try held?.takeLeg(), let arrived, let expected {
                var key: EscrowKey?
                if let opener, opener.number == leg.descriptor.number {
                    key = opener.key
                    self.opener = nil
                }
                // Somebody else's is closed, which resets it.
                guard owner.isRight(leg, at: address, for: expected) else {
                    if let key { escrow.release(key) }
                    continue
                }
                end()
                return arrived(leg, key)
            }
        }
    }

    private func attempt(_ body: () throws(Errno) -> Void) {
        do throws(Errno) { try body() } catch { failed?(error) }
    }
}

extension HeldApplication: EventHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { takeLeg() }
}
