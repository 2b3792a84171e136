import CLinux
import Engine
import Kernel
import SessionProtocol
import SystemPackage

/// Takes the datagrams of a program, each to the flow that it belongs to, and brings what comes back.
final class DatagramDesk {
    /// A datagram on its way out.
    struct Packet {
        let datagram: Datagram
        /// Whose it is, as far as that is known.
        let process: pid_t
        /// Its number as long as the kernel holds it: until then it counts as unsent by its socket.
        let number: UInt32?
    }

    private enum Tag: UInt32 {
        case queue
        case gate4
        case gate6
    }

    /// Each has a descriptor here. A resolver that takes a new port for each question has as many in some seconds, most of them closed.
    private static let maximumFlows = 4096
    /// How often to look for flows of sockets that have been closed.
    private static let tidyPeriod = Interval.seconds(15)
    /// A flow that has been used since is not looked at.
    private static let quietPeriod = Interval.seconds(10)
    /// How long one is kept whose socket cannot be looked for: what RFC 4787 recommends for what stands between two ends (REQ-5), which must
    /// keep it for two minutes at least.
    private static let unusedPeriod = Interval.seconds(5 * 60)
    /// Packets that are taken before others get their turn.
    private static let turnLimit = 64
    /// Flows beyond which none is opened for a socket that has not sent anything.
    private static let maximumServers = 1024
    /// How long what a program has sent last may wait for the agent, and how often to look.
    private static let (drainLimit, drainPeriod) = (Interval.seconds(1), Interval.milliseconds(5))
    /// Destinations whose sources are kept in mind.
    private static let sourceLimit = 4096

    let loop: EventLoop
    let controlPath: String
    private let place: DatagramPlace
    private let hosts: Set<SocketAddress.Host>
    private let ports: [ClosedRange<UInt16>]
    private lazy var servers = BoundSockets(of: place, on: loop) { [unowned self] in serve($0) }
    private var flows: [SocketAddress: DatagramFlow] = [:]
    private var sources: [SocketAddress.Host: SocketAddress.Host] = [:]
    /// Packets that the kernel may forget.
    private var taken: [UInt32] = []
    private var timer: TimerToken?
    private var isTaking = false
    /// Called when nothing waits any more, once the program has ended, or at this time.
    private var drained: (call: () -> Void, deadline: Instant)?
    var isQueued = false

    /// - Parameters:
    ///   - hosts: the addresses of the namespace.
    ///   - ports: whose datagrams the agent is asked about.
    init(
        _ place: DatagramPlace, _ hosts: Set<SocketAddress.Host>, ports: [ClosedRange<UInt16>],
        askingAt controlPath: String, on loop: EventLoop
    ) throws(Errno) {
        self.place = place
        self.hosts = hosts
        self.ports = ports
        self.controlPath = controlPath
        self.loop = loop
        _ = try loop.register(place.queue.descriptor, self, tag: Tag.queue.rawValue)
        _ = try loop.register(place.gate4.socket.number, self, tag: Tag.gate4.rawValue)
        if let gate6 = place.gate6 { _ = try loop.register(gate6.socket.number, self, tag: Tag.gate6.rawValue) }
    }

    func isListed(_ destination: SocketAddress) -> Bool {
        // What stays on this machine needs no help.
        !destination.isLoopback && ports.contains { $0.contains(destination.port) }
    }

    // MARK: - From the program

    private func takePackets() throws(Errno) {
        isTaking = true
        defer {
            isTaking = false
            forgetTaken()
        }
        for _ in 0..<Self.turnLimit {
            var packets: [PacketQueue.Packet] = []
            guard try place.queue.receive({ packets.append($0) }) else { return }
            for packet in packets { take(packet) }
        }
        loop.runLater(self)
    }

    private func take(_ packet: PacketQueue.Packet) {
        guard packet.isWhole else { return release(packet, to: .gate) }
        guard let datagram = PacketHeaders.datagram(packet.content) else { return taken.append(packet.number) }
        if isInside(datagram) { return release(packet, to: .through) }
        pass(
            Packet(
                datagram: datagram, process: pid_t(packet.mark & PacketMark.processBits), number: packet.number))
    }

    private func release(_ packet: PacketQueue.Packet, to fate: PacketMark.Fate) {
        try? place.queue.release(packet.number, mark: packet.mark, to: fate)
    }

    /// Whether it goes to a socket of the program itself.
    private func isInside(_ datagram: Datagram) -> Bool {
        if datagram.source == datagram.destination { return true }
        guard datagram.destination.isLoopback || hosts.contains(datagram.destination.host),
            datagram.destination.port != place.gate4.port, datagram.destination.port != place.gate6?.port
        else { return false }
        return hasSocket(at: datagram.destination, hearing: datagram.source) == true
    }

    /// - Returns: nil if the kernel cannot be asked.
    private func hasSocket(at local: SocketAddress, hearing remote: SocketAddress) -> Bool? {
        guard place.diagnosis != nil else { return nil }
        do throws(Errno) {
            return try place.diagnosis!.datagramOwner(local: local, remote: remote) != nil
        } catch {
            return nil
        }
    }

    private func takeLarge(_ gate: DatagramGate) throws(Errno) {
        defer { forgetTaken() }
        while let datagram = try gate.receive(into: loop.scratch) {
            guard isInside(datagram) else {
                pass(Packet(datagram: datagram, process: 0, number: nil))
                continue
            }
            datagram.content.withUnsafeBytes { deliver($0, from: datagram.source, to: datagram.destination) }
        }
    }

    private func pass(_ packet: Packet) {
        var source = packet.datagram.source
        if let flow = flows[source] { return flow.take(packet) }
        // To a broadcast address no route is told without a permission.
        if naturalSource(of: packet.datagram.destination.host) ?? source.host == source.host {
            source.host = source.host.wildcard
        }
        let flow = flows[source] ?? open(source)
        flow.take(packet)
    }

    /// Where a socket sends from that has bound no address. It is for ever: the namespace is this process's.
    func naturalSource(of host: SocketAddress.Host) -> SocketAddress.Host? {
        if let known = sources[host] { return known }
        // Port 9 discards (RFC 863); nothing is sent.
        guard let source = try? SocketAddress(host: host, port: 9).naturalSource().host else { return nil }
        if sources.count >= Self.sourceLimit { sources = [:] }
        sources[host] = source
        return source
    }

    /// It has left, or is lost.
    func taken(_ packet: Packet) {
        if let number = packet.number { taken.append(number) }
        if !isTaking, !taken.isEmpty { loop.runLater(self) }
    }

    private func forgetTaken() {
        try? place.queue.drop(taken)
        taken.removeAll(keepingCapacity: true)
    }

    // MARK: - To the program

    /// A program that does not read, or has gone, misses it as it would any.
    func deliver(_ content: UnsafeRawBufferPointer, from source: SocketAddress, to destination: SocketAddress) {
        try? place.writer.send(content, from: source, to: destination)
    }

    func tell(_ failure: DatagramFailure, to source: SocketAddress) { try? place.writer.send(failure, to: source) }

    func tell(_ error: Errno, about datagram: Datagram) {
        if let failure = DatagramFailure(error, sendingTo: datagram.destination) { tell(failure, to: datagram.source) }
    }

    // MARK: - Flows

    private func open(_ source: SocketAddress) -> DatagramFlow {
        if flows.count >= Self.maximumFlows { makeRoom() }
        let flow = DatagramFlow(source, of: self)
        flows[source] = flow
        setTimer()
        flow.begin()
        return flow
    }

    // MARK: - Servers

    /// The program has a socket more, which may wait for whoever speaks to it first.
    func socketGiven() {
        servers.socketGiven()
        setTimer()
    }

    /// Has a socket that has not sent anything yet reached from outside.
    private func serve(_ place: SocketAddress) {
        // Servers have few; who has many speaks first.
        guard flows.count < Self.maximumServers, flows[place] == nil,
            flows[SocketAddress(host: place.host.wildcard, port: place.port)] == nil
        else { return }
        _ = open(place)
    }

    // MARK: - The end

    /// Sends what the program has sent before it ended.
    func drain(_ done: @escaping () -> Void) {
        drained = (done, loop.now + Self.drainLimit)
        loop.runLater(self)
        if let timer { loop.cancel(timer) }
        timer = loop.schedule(self, at: loop.now + Self.drainPeriod)
    }

    private func endIfDrained() {
        guard let drained else { return }
        if isQueued || flows.values.contains(where: \.isWaiting), loop.now < drained.deadline {
            timer = loop.schedule(self, at: loop.now + Self.drainPeriod)
        } else {
            drained.call()
        }
    }

    func forget(_ flow: DatagramFlow) {
        flow.end()
        flows[flow.source] = nil
    }

    private func tidy(quiet: Interval) {
        for flow in flows.values where loop.now - flow.lastUse >= quiet {
            let isThere =
                hasSocket(at: flow.lastEnds.source, hearing: flow.lastEnds.destination)
                ?? (loop.now - flow.lastUse < Self.unusedPeriod)
            if !isThere { forget(flow) }
        }
    }

    /// Lets go of those whose sockets are closed; of the longest unused, if there are none.
    private func makeRoom() {
        tidy(quiet: .zero)
        guard flows.count >= Self.maximumFlows else { return }
        for flow in flows.values.sorted(by: { $0.lastUse < $1.lastUse }).prefix(Self.maximumFlows / 4) { forget(flow) }
    }

    private func setTimer() {
        guard timer == nil else { return }
        timer = loop.schedule(self, at: loop.now + Self.tidyPeriod)
    }
}

extension DatagramDesk: EventHandler, LoopTask, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            switch Tag(rawValue: tag) {
            case .queue: try takePackets()
            case .gate4: try takeLarge(place.gate4)
            case .gate6: if let gate6 = place.gate6 { try takeLarge(gate6) }
            case nil: break
            }
        } catch {
            Diagnostics.report("donated sockets: \(error)")
        }
    }

    func run(on loop: EventLoop) {
        do throws(Errno) { try takePackets() } catch { Diagnostics.report("donated sockets: \(error)") }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        if drained != nil { return endIfDrained() }
        tidy(quiet: Self.quietPeriod)
        servers.look()
        setTimer()
    }
}
