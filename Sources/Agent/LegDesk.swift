import Engine
import Interception
import Keeper
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// Where applications bring their legs: loopback listeners, and who is expected at which.
///
/// A leg is known by the address that it comes from, and by being the application's own socket (`LegOwner`). Two connections
/// from one bound port to two destinations come from the same address, so each needs a listener of its own.
final class LegDesk {
    fileprivate final class Desk: EventHandler, TimerHandler {
        /// How soon to try again to accept when descriptors have run out: no event tells when there are some.
        private static let acceptRetry = Interval.milliseconds(100)

        struct Expectation {
            let leg: ExpectedLeg
            let arrived: (consuming Leg, EscrowKey) -> Void
        }

        let listener: LegListener
        private let owner: LegOwner
        let family: Int32
        /// The listener's copy in escrow.
        let key: EscrowKey
        private let escrow: Escrow
        private let loop: EventLoop
        private var registration: Registration?
        /// Sources in use here; the value waits for its leg, and is nil once that has come.
        var expected: [SocketAddress: Expectation?] = [:]
        private var retryTimer: TimerToken?

        init(
            _ listener: consuming LegListener, key: EscrowKey, owner: LegOwner, _ escrow: Escrow, on loop: EventLoop
        ) throws(Errno) {
            family = listener.address.family
            self.escrow = escrow
            self.owner = owner
            self.listener = listener
            self.key = key
            self.loop = loop
            registration = try loop.register(self.listener.descriptor.number, self)
        }

        func close() {
            if let registration { loop.deregister(registration) }
            if let retryTimer { loop.cancel(retryTimer) }
            (registration, retryTimer) = (nil, nil)
        }

        func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
            accept(on: loop)
        }

        func timerExpired(_ token: TimerToken, on loop: EventLoop) {
            retryTimer = nil
            accept(on: loop)
        }

        private func accept(on loop: EventLoop) {
            do throws(Errno) {
                // A leg that nobody expects, say of a port scan, is closed, which resets it.
                while let leg = try listener.accept() {
                    guard case .some(.some) = expected[leg.application] else { continue }
                    // First of all: while only this process has it, its death would reset it.
                    let number = leg.descriptor.number
                    var waiting: Leg? = consume leg
                    escrow.holdLeg(number) { [self] key in
                        if let leg = waiting.take() { arrived(leg, key) }
                    }
                }
            } catch {
                if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + Desk.acceptRetry) }
            }
        }

        private func arrived(_ leg: consuming Leg, _ key: EscrowKey) {
            // Somebody else's who has come first is closed; the right one can connect then.
            guard let expectation = expected[leg.application] ?? nil,
                owner.isRight(leg, at: listener.address, for: expectation.leg)
            else { return escrow.release(key) }
            expected[leg.application] = .some(nil)
            expectation.arrived(leg, key)
        }
    }

    /// A place at a desk: give it back when the connection is over.
    struct Ticket {
        private let desk: Desk
        fileprivate let source: SocketAddress
        /// Where the application must connect to.
        var address: SocketAddress { desk.listener.address }

        fileprivate init(_ desk: Desk, _ source: SocketAddress) {
            self.desk = desk
            self.source = source
        }

        fileprivate func free() -> Desk {
            desk.expected[source] = nil
            return desk
        }
    }

    private final class Refusal {
        let socket: TCPSocket
        let family: Int32

        init(_ socket: consuming TCPSocket, family: Int32) {
            self.socket = socket
            self.family = family
        }
    }

    private var refusals: [Refusal] = []
    private let loop: EventLoop
    private let owner: LegOwner
    private let escrow: Escrow
    private var desks: [Desk] = []

    /// Where copies of the listeners are: legs that wait at one live as long as it does; and of the legs that have come.
    struct Escrow {
        let hold: (Int32) -> EscrowKey
        let holdLeg: (Int32, @escaping (EscrowKey) -> Void) -> Void
        let release: (EscrowKey) -> Void
    }

    init(on loop: EventLoop, owner: LegOwner, escrow: Escrow) {
        self.loop = loop
        self.owner = owner
        self.escrow = escrow
    }

    func expect(_ leg: ExpectedLeg, arrived: @escaping (consuming Leg, EscrowKey) -> Void) throws(Errno) -> Ticket {
        let desk: Desk
        if let free = desks.first(where: { $0.family == leg.family && $0.expected[leg.source] == nil }) {
            desk = free
        } else {
            desk = try addDesk(family: leg.family)
        }
        desk.expected[leg.source] = Desk.Expectation(leg: leg, arrived: arrived)
        return Ticket(desk, leg.source)
    }

    func giveBack(_ ticket: Ticket) {
        let desk = ticket.free()
        // One of each family stays; more are only needed when several connections come from one address.
        guard desk.expected.isEmpty, desks.first(where: { $0.family == desk.family }) !== desk else { return }
        desks.removeAll { $0 === desk }
        desk.close()
        escrow.release(desk.key)
    }

    // MARK: - After a predecessor

    /// Takes a predecessor's listener over.
    func adopt(_ listener: consuming Descriptor, _ key: EscrowKey) {
        guard let listener = try? LegListener(adopting: listener),
            let desk = try? Desk(listener, key: key, owner: owner, escrow, on: loop)
        else { return escrow.release(key) }
        desks.append(desk)
    }

    /// The place of a leg that the predecessor has accepted; nil if that was not at a desk.
    func occupy(_ address: SocketAddress, by source: SocketAddress) -> Ticket? {
        guard let desk = desks.first(where: { $0.listener.address == address }) else { return nil }
        desk.expected[source] = .some(nil)
        return Ticket(desk, source)
    }

    /// Expects a leg wherever the predecessor may have sent it.
    func expectAnywhere(
        _ leg: ExpectedLeg, arrived: @escaping (consuming Leg, EscrowKey) -> Void
    ) throws(Errno) -> [Ticket] {
        let places = desks.filter { $0.family == leg.family && $0.expected[leg.source] == nil }
        if places.isEmpty { return [try expect(leg, arrived: arrived)] }
        return places.map { desk in
            desk.expected[leg.source] = Desk.Expectation(leg: leg, arrived: arrived)
            return Ticket(desk, leg.source)
        }
    }

    /// A loopback address where every connection is refused: bound, so that nobody else gets it, and not listening.
    ///
    /// An application that is sent there fails in the kernel's own way, whether its socket blocks or not.
    func refusingAddress(family: Int32) throws(Errno) -> SocketAddress {
        if let address = try refusals.first(where: { $0.family == family })?.socket.localAddress() { return address }
        let socket = try TCPSocket(family: family)
        try socket.bindToLoopbackPort()
        let refusal = Refusal(socket, family: family)
        refusals.append(refusal)
        return try refusal.socket.localAddress()
    }

    private func addDesk(family: Int32) throws(Errno) -> Desk {
        let listener = try LegListener(family: family)
        let key = escrow.hold(listener.descriptor.number)
        do throws(Errno) {
            let desk = try Desk(listener, key: key, owner: owner, escrow, on: loop)
            desks.append(desk)
            return desk
        } catch {
            escrow.release(key)
            throw error
        }
    }
}
