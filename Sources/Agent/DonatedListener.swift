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
    private let listener: Listener
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
        let listener: Listener
        do throws(ListenError) {
            listener = Listener(try TCPSocket.listen(on: address, isDual: isDual))
        } catch {
            _ = try? donor.send(.refused(error.code.rawValue))
            return
        }
        DonatedListener(donor, listener, address, agent).start()
    }

    private init(
        _ donor: consuming ControlConnection, _ listener: Listener, _ address: SocketAddress, _ agent: Agent
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
            registrations.append(try agent.loop.register(listener.socket.number, self, tag: Tag.listener.rawValue))
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
        guard let client = try listener.socket.accept() else { return false }
        // Without names it has gone again.
        guard let peer = try? client.remoteAddress(), let local = try? client.localAddress() else { return true }
        lastNumber += 1
        let number = lastNumber
        waiting[number] = Handoff(client)
        // A gateway of this host connects to the address that was asked for, and the kernel then takes the same for its own end.
        guard peer.host == local.host else {
            admit(number, from: peer, to: local)
            return true
        }
        agent.offers.client(at: AddressBytes(peer)) { [self] client in
            admit(number, from: client.flatMap { SocketAddress($0) } ?? peer, to: local)
        }
        return true
    }

    /// Has a leg made for a client, unless there is no donor any more.
    private func admit(_ number: UInt64, from source: SocketAddress, to local: SocketAddress) {
        guard waiting[number] != nil else { return }
        do throws(Errno) {
            try donor.sendIncoming(from: AddressBytes(source), to: AddressBytes(local), number: number)
        } catch {
            if let client = waiting.removeValue(forKey: number)?.take() { _ = try? client.abort() }
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
