import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// Where applications bring their legs: loopback listeners, and who is expected at which.
///
/// A leg is known by the address that it comes from. Two connections from one bound port to two destinations come from
/// the same address, so each needs a listener of its own.
final class LegDesk {
    private final class Desk: EventHandler, TimerHandler {
        /// How soon to try again to accept when descriptors have run out: no event tells when there are some.
        private static let acceptRetry = Interval.milliseconds(100)

        let listener: LegListener
        let family: Int32
        /// Sources in use here; the value waits for its leg, and is nil once that has come.
        var expected: [SocketAddress: ((consuming Leg) -> Void)?] = [:]
        private var retryTimer: TimerToken?

        init(family: Int32, on loop: EventLoop) throws(Errno) {
            listener = try LegListener(family: family)
            self.family = family
            _ = try loop.register(listener.descriptor.number, self)
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
                    guard let arrived = expected[leg.application] ?? nil else { continue }
                    expected[leg.application] = .some(nil)
                    arrived(leg)
                }
            } catch {
                if retryTimer == nil { retryTimer = loop.schedule(self, at: loop.now + Desk.acceptRetry) }
            }
        }
    }

    /// A place at a desk: give it back when the connection is over.
    struct Ticket {
        fileprivate let desk: Int
        fileprivate let source: SocketAddress
        /// Where the application must connect to.
        let address: SocketAddress
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
    private let escrow: (Int32) -> Void
    private var desks: [Desk] = []

    /// - Parameter escrow: puts a listener into escrow: legs that wait at it live as long as it does.
    init(on loop: EventLoop, escrow: @escaping (Int32) -> Void) {
        self.loop = loop
        self.escrow = escrow
    }

    func expect(_ leg: ExpectedLeg, arrived: @escaping (consuming Leg) -> Void) throws(Errno) -> Ticket {
        let index: Int
        if let free = desks.firstIndex(where: { $0.family == leg.family && $0.expected[leg.source] == nil }) {
            index = free
        } else {
            index = try addDesk(family: leg.family)
        }
        desks[index].expected[leg.source] = arrived
        return Ticket(desk: index, source: leg.source, address: desks[index].listener.address)
    }

    func giveBack(_ ticket: Ticket) { desks[ticket.desk].expected[ticket.source] = nil }

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

    private func addDesk(family: Int32) throws(Errno) -> Int {
        let desk = try Desk(family: family, on: loop)
        escrow(desk.listener.descriptor.number)
        desks.append(desk)
        return desks.count - 1
    }
}
