import CLinux
import Engine
import Interception
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// Listens outside for a donated socket that listens in its private namespace, and carries what connects to it. On the main loop;
/// it lives as long as the donor wants it.
final class DonatedListener {
    private enum Tag: UInt32 {
        case donor
        case listener
    }

    /// How soon to try again to accept when descriptors have run out.
    private static let acceptRetry = Interval.milliseconds(100)
    /// Clients that may wait for their way in at a time; the kernel's queue holds the rest.
    private static let waitingLimit = 256

    private let agent: Agent
    private let address: SocketAddress
    private let listener: Descriptor
    private let donor: ControlConnection
    private var registrations: [Registration] = []
    /// Those who have connected, and whose leg into the namespace is being made.
    private var waiting: [UInt64: Handoff<TCPSocket>] = [:]
    private var lastNumber: UInt64 = 0
    private var retryTimer: TimerToken?

    /// Answers the donor's question.
    static func handle(
        _ donor: consuming ControlConnection, _ address: AddressBytes, isDual: Bool, _ agent: Agent
    ) {
        guard let address = SocketAddress(address) else { return }
        let listener: Descriptor
        do throws(Errno) {
            listener = try listen(at: address, isDual: isDual)
        } catch {
            _ = try? donor.send(.refused(error.rawValue))
            return
        }
        let desk = DonatedListener(donor, listener, address, agent)
        desk.start()
    }

    private static func listen(at address: SocketAddress, isDual: Bool) throws(Errno) -> Descriptor {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = Descriptor(owning: try check(socket(address.family, Int32(type), 0)))
        let number = descriptor.number
        // A listener that lives is in the way all the same; connections of one that has gone are not (socket(7)).
        try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: number, to: Int32(1))
        if address.family == AF_INET6 {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: number, to: Int32(isDual ? 0 : 1))
        }
        try address.withSockaddr { (pointer, length) throws(Errno) in
            _ = try check(usl_bind(number, pointer, length))
        }
        try check(CLinux.listen(number, 4096))
        return descriptor
    }

    private init(
        _ donor: consuming ControlConnection, _ listener: consuming Descriptor, _ address: SocketAddress, _ agent: Agent
    ) {
        self.donor = donor
        self.listener = listener
        self.address = address
        self.agent = agent
    }

    private func start() {
        do throws(Errno) {
            registrations.append(
                try agent.loop.register(donor.descriptor.number, self, tag: Tag.donor.rawValue))
            registrations.append(try agent.loop.register(listener.number, self, tag: Tag.listener.rawValue))
            try donor.send(.accepted)
            agent.notices.explain("listening at \(address) for the program")
            agent.offers.listening(at: address, nil)
        } catch {
            end()
        }
    }

    private func end() {
        for registration in registrations { agent.loop.deregister(registration) }
        registrations = []
        waiting = [:]
        if let retryTimer { agent.loop.cancel(retryTimer) }
        retryTimer = nil
    }

    private func accept() {
        do throws(Errno) {
            while waiting.count < DonatedListener.waitingLimit, try acceptOne() {}
        } catch {
            if retryTimer == nil {
                retryTimer = agent.loop.schedule(self, at: agent.loop.now + DonatedListener.acceptRetry)
            }
        }
    }

    private func acceptOne() throws(Errno) -> Bool {
        let listener = listener.number
        do throws(Errno) {
            let (number, peer) = try SocketAddress.reading {
                usl_accept_from(listener, $0, $1, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            }
            let client = TCPSocket(owning: Descriptor(owning: number))
            guard let peer, let local = try? SocketAddress.reading({ usl_getsockname(number, $0, $1) }).address else {
                return true
            }
            lastNumber += 1
            try donor.sendIncoming(from: AddressBytes(peer), to: AddressBytes(local), number: lastNumber)
            waiting[lastNumber] = Handoff(client)
            return true
        } catch .wouldBlock {
            return false
        } catch .interrupted, .connectionAbort {
            return true
        }
    }

    private func takeLegs() {
        while true {
            switch (try? donor.receive()) ?? .end {
            case .nothing: return accept()
            case .request(.leg(let number), socket: .some(let leg)):
                guard let client = waiting.removeValue(forKey: number)?.take() else { continue }
                agent.countConnections(+1)
                PlainRelay.join(client, with: TCPSocket(owning: leg), on: agent.loop) { [agent] in
                    agent.countConnections(-1)
                }
            case .request(.legFailed(_, let number), socket: _):
                if let client = waiting.removeValue(forKey: number)?.take() { _ = try? client.abort() }
            case .request: return end()
            case .malformed: return end()
            case .end: return end()
            }
        }
    }
}

extension DonatedListener: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        switch Tag(rawValue: tag) {
        case .donor: takeLegs()
        case .listener: accept()
        case nil: break
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        accept()
    }
}
