import CLinux
import Engine
import Interception
import Kernel
import SystemPackage

/// getpeername(2) or getsockname(2) of a program: it is told what it takes its socket for, not the loopback addresses of its leg.
final class TrappedNameCall {
    private let call: TrapListener.Call
    private unowned let supervisor: ConnectSupervisor
    private var inquiry: AgentInquiry?

    init(_ call: TrapListener.Call, by supervisor: ConnectSupervisor) {
        self.call = call
        self.supervisor = supervisor
    }

    /// - Parameter socket: of TCP.
    func begin(_ socket: borrowing TrappedSocket) {
        guard let request = question(about: socket) else { return supervisor.answer(call, .goesOn) }
        let inquiry = AgentInquiry(at: supervisor.controlPath, on: supervisor.loop) { (agent) throws(Errno) in
            try agent.request(request)
        } ended: { [self] in
            heard($0)
        }
        self.inquiry = inquiry
        inquiry.begin()
    }

    /// nil where the kernel knows best.
    private func question(about socket: borrowing TrappedSocket) -> ControlRequest? {
        guard let cookie = socket.cookie, let own = try? socket.localAddress else { return nil }
        guard call.number == Int(SYS_getpeername) else {
            return own.unmapped.isLoopback && !socket.isListening ? .localName(cookie: cookie) : nil
        }
        guard let peer = try? socket.peerAddress else { return nil }
        if peer.unmapped.isLoopback { return .peerName(cookie: cookie, at: AddressBytes(peer)) }
        // A gateway of this host connects to the address that was asked for, and the kernel then takes the same for its own end.
        return peer.host == own.host ? .client(at: AddressBytes(peer)) : nil
    }

    private func heard(_ outcome: AgentInquiry.Outcome) {
        inquiry = nil
        guard case .response(.asked(let name)) = outcome else { return supervisor.answer(call, .goesOn) }
        do throws(Errno) {
            try supervisor.write(name, for: call)
            supervisor.answer(call, .succeeded)
        } catch {
            supervisor.answer(call, .failed(error.rawValue))
        }
    }
}
