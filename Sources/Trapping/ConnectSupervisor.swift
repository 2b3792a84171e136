import CLinux
public import Engine
import Interception
import Keeper
public import Kernel
import SessionProtocol
import SystemPackage

/// The process that makes a program's connect(2) in its place, on its own sockets, as the agent decides. It outlives agents, and ends
/// when the last process of the program has.
public final class ConnectSupervisor {
    /// How a call ends.
    enum Answer {
        case succeeded
        /// With this errno.
        case failed(Int32)
        /// It is the kernel's now, as if nobody had looked.
        case goesOn
    }

    let loop: EventLoop
    let controlPath: String
    private let trap: TrapListener
    private let keeper: SupervisorChannel
    /// nil before Linux 5.14.
    private let namespace: NetworkNamespace?

    /// Becomes the supervisor, in a fork of the keeper that has one thread.
    ///
    /// - Parameters:
    ///   - channel: see `Trap`.
    ///   - controlPath: where the agent is asked.
    public static func run(_ channel: consuming Descriptor, askingAt controlPath: String) -> Never {
        do throws(Errno) {
            try DescriptorPassing.send([0], over: channel.number)
            guard let trap = try TrapListener.receive(over: channel) else {
                // There is no program after all.
                _exit(0)
            }
            DescriptorLimit.raise()
            let supervisor = try ConnectSupervisor(
                trap, SupervisorChannel(owning: channel), askingAt: controlPath)
            ForkedProcess.continueOnNewThread {
                supervisor.loop.run()
                _exit(0)
            }
        } catch {
            Diagnostics.report("no connections can be intercepted: \(error)")
            _exit(125)
        }
    }

    private init(
        _ trap: consuming TrapListener, _ keeper: consuming SupervisorChannel, askingAt controlPath: String
    ) throws(Errno) {
        self.trap = trap
        self.keeper = keeper
        self.controlPath = controlPath
        namespace = try? NetworkNamespace.own()
        // No bytes pass here.
        loop = try EventLoop(arena: ArenaLimits(capacity: 64 << 10))
        _ = try loop.register(self.trap.descriptor.number, self)
    }

    // MARK: - Calls

    private func take(_ call: TrapListener.Call) {
        do throws(Errno) {
            let socket = try TrappedSocket(Int32(truncatingIfNeeded: call.arguments.0), of: call.thread, from: keeper)
            guard socket.isTCP else { return trap.pass(call) }
            switch call.number {
            case Int(SYS_connect): try connect(socket, call)
            case Int(SYS_listen): try listen(socket, call)
            default: TrappedNameCall(call, by: self).begin(socket)
            }
        } catch {
            // What cannot be looked at, the kernel knows: no such descriptor, an address that is none, a process of another user.
            trap.pass(call)
        }
    }

    private func connect(_ socket: consuming TrappedSocket, _ call: TrapListener.Call) throws(Errno) {
        // In all other states the answer (EALREADY, EISCONN, …) is the kernel's.
        guard socket.isUnconnected, let address = try address(of: call), address.family == socket.family else {
            return trap.pass(call)
        }
        TrappedConnect(call, socket, to: address, by: self).begin()
    }

    /// Copies the address if it is IPv4 or IPv6, and neither too short nor too long for the kernel.
    private func address(of call: TrapListener.Call) throws(Errno) -> AddressBytes? {
        let length = Int(Int32(truncatingIfNeeded: call.arguments.2))
        guard length >= MemoryLayout<sockaddr_in>.size, length <= SupervisorChannel.memoryLimit else { return nil }
        let bytes = try keeper.read(length, at: call.arguments.1, of: call.thread)
        guard let whole = AddressBytes(count: min(length, AddressBytes.capacity), byte: { bytes[$0] }) else {
            return nil
        }
        switch whole.family {
        case AF_INET: return AddressBytes(count: MemoryLayout<sockaddr_in>.size) { whole[$0] }
        case AF_INET6 where whole.count == MemoryLayout<sockaddr_in6>.size: return whole
        default: return nil
        }
    }

    /// listen(2): made here, and the agent hears of it where others can connect.
    private func listen(_ socket: consuming TrappedSocket, _ call: TrapListener.Call) throws(Errno) {
        do throws(Errno) {
            try socket.listen(backlog: Int32(truncatingIfNeeded: call.arguments.1))
        } catch {
            return trap.fail(call, error)
        }
        guard let address = try? socket.localAddress, !address.unmapped.isLoopback, socket.isTCP(in: namespace) else {
            return trap.succeed(call)
        }
        _ = consume socket
        let request = ControlRequest.listening(at: AddressBytes(address), process: call.thread)
        AgentInquiry(at: controlPath, on: loop) { (agent) throws(Errno) in
            try agent.request(request)
        } ended: { [self] _ in
            trap.succeed(call)
        }.begin()
    }

    func answer(_ call: TrapListener.Call, _ answer: Answer) {
        switch answer {
        case .succeeded: trap.succeed(call)
        case .failed(let code): trap.fail(call, Errno(rawValue: code))
        case .goesOn: trap.pass(call)
        }
    }

    func isWaiting(_ call: TrapListener.Call) -> Bool { trap.isWaiting(call) }

    /// Gives a caller of getpeername(2) or getsockname(2) a name.
    func write(_ name: AddressBytes, for call: TrapListener.Call) throws(Errno) {
        let length = try keeper.read(MemoryLayout<socklen_t>.size, at: call.arguments.2, of: call.thread)
        let room = Int32(bitPattern: UInt32(littleEndian: length.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }))
        guard room >= 0 else { throw .invalidArgument }
        try keeper.write((0..<min(Int(room), name.count)).map { name[$0] }, at: call.arguments.1, of: call.thread)
        // The full length, also when the caller's room was smaller (getpeername(2)).
        try keeper.write(
            withUnsafeBytes(of: UInt32(name.count)) { Array($0) }, at: call.arguments.2, of: call.thread)
    }
}

extension ConnectSupervisor: EventHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        // Nobody has the filter any more (seccomp_unotify(2)).
        if events.contains(.hangup) { return loop.stop() }
        do throws(Errno) {
            // All first, as a signal ends a call that nobody has heard of, and holds back from one that somebody has.
            var calls: [TrapListener.Call] = []
            while let call = try trap.next() { calls.append(call) }
            for call in calls { take(call) }
        } catch {
            Diagnostics.report("trapped calls: \(error)")
        }
    }
}
