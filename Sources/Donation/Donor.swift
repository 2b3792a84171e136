import CLinux
import Engine
import Interception
import Keeper
public import Kernel
import SessionProtocol
import SystemPackage
import Trapping

/// The process that gives a program sockets of a private namespace, and holds what they send first until the agent has decided.
/// It outlives agents, and ends when the last process of the program has.
public final class Donor {
    private enum Tag: UInt32 {
        case trap
        case queue
        case gate4
        case gate6
    }

    let loop: EventLoop
    let controlPath: String
    private let trap: TrapListener
    private let keeper: SupervisorChannel
    private let place: Place
    /// nil: the program's datagrams are its own.
    private let datagrams: DatagramDesk?
    private var connections: [HeldPath: HeldConnection] = [:]
    private var listeners: [SocketAddress: ListeningSocket] = [:]

    /// Becomes the donor, in a fork of the keeper that has one thread.
    ///
    /// - Parameters:
    ///   - channel: gets one message when all is ready, or with the text of what is missing; then brings the listener of the trap.
    ///   - controlPath: where the agent is asked.
    ///   - datagramPorts: the ports of destinations that it is asked about; nil: sockets of UDP are the program's own.
    public static func run(
        _ channel: consuming Descriptor, askingAt controlPath: String, datagramPorts: [ClosedRange<UInt16>]? = nil
    ) -> Never {
        let place = enter(reportingTo: channel, withDatagrams: datagramPorts != nil)
        do throws(Errno) {
            guard let trap = try TrapListener.receive(over: channel) else {
                // There is no program after all.
                _exit(0)
            }
            DescriptorLimit.raise()
            let donor = try Donor(
                trap, SupervisorChannel(owning: channel), place, askingAt: controlPath,
                datagramPorts: datagramPorts ?? [])
            ForkedProcess.continueOnNewThread {
                donor.loop.run()
                _exit(0)
            }
        } catch {
            Diagnostics.report("no sockets can be donated: \(error)")
            _exit(125)
        }
    }

    private static func enter(reportingTo channel: borrowing Descriptor, withDatagrams: Bool) -> Place {
        do {
            let place = try Place(withDatagrams: withDatagrams)
            try DescriptorPassing.send([0], over: channel.number)
            return place
        } catch {
            _ = try? DescriptorPassing.send(Array("\(error)".utf8), over: channel.number)
            _exit(125)
        }
    }

    private init(
        _ trap: consuming TrapListener, _ keeper: consuming SupervisorChannel, _ place: consuming Place,
        askingAt controlPath: String, datagramPorts: [ClosedRange<UInt16>]
    ) throws(Errno) {
        self.trap = trap
        self.keeper = keeper
        self.controlPath = controlPath
        // No bytes of connections pass here.
        loop = try EventLoop(arena: ArenaLimits(capacity: 64 << 10))
        if let datagrams = place.datagrams {
            self.datagrams = try DatagramDesk(
                datagrams, place.hosts, ports: datagramPorts, askingAt: controlPath, on: loop)
        } else {
            datagrams = nil
        }
        self.place = place
        _ = try loop.register(self.trap.descriptor.number, self, tag: Tag.trap.rawValue)
        _ = try loop.register(self.place.queue.descriptor, self, tag: Tag.queue.rawValue)
        _ = try loop.register(self.place.gate4.socket.number, self, tag: Tag.gate4.rawValue)
        if let gate6 = self.place.gate6 {
            _ = try loop.register(gate6.socket.number, self, tag: Tag.gate6.rawValue)
        }
    }

    private func end() {
        guard let datagrams else { return loop.stop() }
        datagrams.drain { [loop] in loop.stop() }
    }

    // MARK: - Sockets

    private func answerCalls() throws(Errno) {
        while let call = try trap.next() {
            switch call.number {
            case Int(SYS_socket): giveSocket(for: call)
            case Int(SYS_listen): prepareListening(call)
            default: trap.pass(call)
            }
        }
    }

    /// Makes the socket that was asked for, here.
    private func giveSocket(for call: TrapListener.Call) {
        let type = Int32(truncatingIfNeeded: call.arguments.1)
        do throws(Errno) {
            let socket = Descriptor(
                owning: try check(
                    socket(
                        Int32(truncatingIfNeeded: call.arguments.0), type | Int32(SOCK_CLOEXEC.rawValue),
                        Int32(truncatingIfNeeded: call.arguments.2))))
            // It leads to this machine alone.
            SocketOption.setReno(of: socket.number)
            // By it, packets tell whose they are.
            let mark = UInt32(bitPattern: call.thread) & PacketMark.processBits
            try SocketOption.set(SOL_SOCKET, SO_MARK, of: socket.number, to: mark)
            try trap.give(socket, closedOnExec: type & Int32(SOCK_CLOEXEC.rawValue) != 0, to: call)
            // SOCK_TYPE_MASK of the kernel: the rest are flags.
            if type & 0xf == Int32(SOCK_DGRAM.rawValue) { datagrams?.socketGiven() }
        } catch .noSuchFileOrDirectory {
            // The caller has been killed.
        } catch {
            trap.fail(call, error)
        }
    }

    // MARK: - Listening

    /// listen(2): first outside, where it may fail, and then here.
    private func prepareListening(_ call: TrapListener.Call) {
        do throws(Errno) {
            let socket = try TrappedSocket(Int32(truncatingIfNeeded: call.arguments.0), of: call.thread, from: keeper)
            guard socket.isTCP(in: place.namespace) else { return trap.pass(call) }
            let address = try socket.localAddress
            // The kernel would choose a port here and now, and so does this, since it must be known.
            guard address.port != 0 else { return listenAnywhere(call, socket) }
            if listeners[address] != nil { return listen(call, nil) }
            let listener = ListeningSocket(at: address, isDual: socket.isDual, of: self)
            listeners[address] = listener
            listener.begin(answering: call)
        } catch {
            // It is not to be reached from outside then, and works otherwise.
            Diagnostics.report("a listener of the program cannot be reached from outside: \(error)")
            trap.pass(call)
        }
    }

    private func listenAnywhere(_ call: TrapListener.Call, _ socket: borrowing TrappedSocket) {
        do throws(Errno) {
            try socket.listen(backlog: Int32(truncatingIfNeeded: call.arguments.1))
            let address = try socket.localAddress
            let listener = ListeningSocket(at: address, isDual: socket.isDual, of: self)
            listeners[address] = listener
            listener.begin(answering: nil)
            trap.succeed(call)
        } catch {
            trap.fail(call, error)
        }
    }

    /// Lets a program listen here.
    func listen(_ call: TrapListener.Call, _ listener: ListeningSocket?) {
        do throws(Errno) {
            let socket = try TrappedSocket(Int32(truncatingIfNeeded: call.arguments.0), of: call.thread, from: keeper)
            try socket.listen(backlog: Int32(truncatingIfNeeded: call.arguments.1))
            trap.succeed(call)
        } catch {
            trap.fail(call, error)
            if let listener { forget(listener) }
        }
    }

    func refuse(_ call: TrapListener.Call, _ error: Errno, _ listener: ListeningSocket) {
        trap.fail(call, error)
        forget(listener)
    }

    func forget(_ listener: ListeningSocket) {
        listener.end()
        listeners[listener.address] = nil
    }

    // MARK: - SYNs

    private func takePackets() throws(Errno) {
        var packets: [PacketQueue.HeldPacket] = []
        while try place.queue.take({ packets.append($0) }) {
            for packet in packets { take(packet) }
            packets.removeAll(keepingCapacity: true)
        }
    }

    private func take(_ packet: PacketQueue.HeldPacket) {
        let path = HeldPath(source: packet.source, destination: packet.destination)
        if let known = connections[path] { return known.repeated(packet) }
        if let fate = fateHere(path) { return release(packet, to: fate) }
        let connection = HeldConnection(packet, path, of: self)
        connections[path] = connection
        connection.begin()
    }

    /// What becomes of a SYN to a listener of the program itself; nil if there is none.
    private func fateHere(_ path: HeldPath) -> PacketMark.Fate? {
        // A socket that connects to itself.
        if path.source == path.destination { return .through }
        guard path.destination.isLoopback || place.hosts.contains(path.destination.host) else { return nil }
        let candidates = listeners.values.filter { $0.covers(path.destination) }
        guard !candidates.isEmpty, place.diagnosis != nil else { return nil }
        if (try? place.diagnosis!.cookie(local: path.destination, remote: path.source)) ?? nil != nil {
            return .through
        }
        // The program has closed it, and as long as this process listened outside for it, nobody else could.
        for listener in candidates { forget(listener) }
        return .reset
    }

    func release(_ packet: PacketQueue.HeldPacket, to fate: PacketMark.Fate) {
        if packet.source.family == AF_INET, let code = fate.icmpCode {
            drop(packet)
            // Without it, the socket sends its SYN once more, and is told then.
            try? place.notice.send(code, about: packet.headers, to: packet.source)
            return
        }
        // What the kernel does not hold any more, it has flushed.
        try? place.queue.release(packet, to: fate)
    }

    func drop(_ packet: PacketQueue.HeldPacket) { try? place.queue.drop(packet) }

    func forget(_ connection: HeldConnection) { connections[connection.path] = nil }

    private func accept(from gate: Gate) throws(Errno) {
        // A connection that nobody knows has waited for an agent that is dead, and is reset.
        while let arrival = try gate.accept() { connections[arrival.path]?.arrived(arrival.leg) }
    }
}

extension Donor: EventHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            switch Tag(rawValue: tag) {
            case .trap:
                // Nobody has the filter any more (seccomp_unotify(2)).
                if events.contains(.hangup) { return end() }
                try answerCalls()
            case .queue: try takePackets()
            case .gate4: try accept(from: place.gate4)
            case .gate6: if let gate6 = place.gate6 { try accept(from: gate6) }
            case nil: break
            }
        } catch {
            Diagnostics.report("donated sockets: \(error)")
        }
    }
}
