import CLinux
import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Trapping

/// The datagrams of one port of the program: by one socket outside, whomever they go to, so that everybody there sees one port.
final class DatagramFlow {
    /// How long datagrams wait for an answer of the agent: as long as without USL for that of a neighbour (arp(7)).
    private static let patience = Interval.seconds(3)
    /// Datagrams that wait, of those that the kernel does not count as unsent any more.
    private static let waitingLimit = 64
    /// Destinations that are kept in mind.
    private static let wayLimit = 256
    /// Datagrams that come in before others get their turn.
    private static let turnLimit = 64

    private enum Stage {
        case asking(RepeatedQuestion)
        case open(Registration)
        case over
    }

    /// Where the datagrams for one destination go.
    private enum Way {
        case asking(RepeatedQuestion)
        case plain
        case relay(SocketAddress)
    }

    /// Where they come from; with the wildcard, from wherever the kernel sends.
    let source: SocketAddress
    private unowned let desk: DatagramDesk
    private var stage = Stage.over
    private var outside: OutsideSocket?
    /// What waits for the agent, and what the socket outside has no room for: packets that are still held, so that the program waits for
    /// that as it would for a network.
    private var waiting: [DatagramDesk.Packet] = []
    private var stalled: [(packet: DatagramDesk.Packet, destination: SocketAddress)] = []
    private var ways: [SocketAddress: Way] = [:]
    /// What was asked for in place of the relays.
    private var asked: [SocketAddress: SocketAddress] = [:]
    private(set) var lastUse: Instant
    /// Where the last datagram came from, and went to.
    private(set) var lastEnds: (source: SocketAddress, destination: SocketAddress)
    private var timer: TimerToken?
    var isQueued = false

    /// Whether anything has yet to leave.
    var isWaiting: Bool { !waiting.isEmpty || !stalled.isEmpty }

    init(_ source: SocketAddress, of desk: DatagramDesk) {
        self.source = source
        self.desk = desk
        lastUse = desk.loop.now
        lastEnds = (source, SocketAddress(host: source.host.wildcard, port: 0))
    }

    func begin() {
        let question = RepeatedQuestion(at: desk.controlPath, on: desk.loop) { [source] agent throws(Errno) in
            try agent.request(.datagrams(from: AddressBytes(source)))
        } answered: { [unowned self] answer in
            opened(answer)
        }
        stage = .asking(question)
        question.begin()
    }

    private func opened(_ answer: consuming RepeatedQuestion.Answer) {
        switch consume answer {
        case .response(.accepted, .some(let descriptor)): open(descriptor)
        case .response(.refused(let code), _):
            for packet in waiting { desk.tell(Errno(rawValue: code), about: packet.datagram) }
            desk.forget(self)
        case .response: desk.forget(self)
        case .nobody: desk.forget(self)
        }
    }

    private func open(_ descriptor: consuming Descriptor) {
        do throws(Errno) {
            let outside = try OutsideSocket(owning: descriptor, family: source.family)
            stage = .open(try desk.loop.register(outside.socket.number, self))
            self.outside = consume outside
        } catch {
            return desk.forget(self)
        }
        for packet in endWaiting(for: nil) { route(packet) }
    }

    /// Nothing more comes or goes.
    func end() {
        switch stage {
        case .asking(let question): question.drop()
        case .open(let registration): desk.loop.deregister(registration)
        case .over: break
        }
        stage = .over
        for way in ways.values { if case .asking(let question) = way { question.drop() } }
        loseWaiting()
        for (packet, _) in stalled { desk.taken(packet) }
        (ways, stalled) = ([:], [])
        outside = nil
    }

    // MARK: - From the program

    func take(_ packet: DatagramDesk.Packet) {
        lastUse = desk.loop.now
        lastEnds = (packet.datagram.source, packet.datagram.destination)
        switch stage {
        case .asking: wait(packet)
        case .open: route(packet)
        case .over: desk.taken(packet)
        }
    }

    private func wait(_ packet: DatagramDesk.Packet) {
        // The newest is lost, as in any full queue.
        if packet.number == nil, waiting.count >= Self.waitingLimit { return }
        waiting.append(packet)
        if timer == nil { timer = desk.loop.schedule(self, at: desk.loop.now + Self.patience) }
    }

    private func loseWaiting() { for packet in endWaiting(for: nil) { desk.taken(packet) } }

    /// What has waited to be sent to a destination; nil: to any.
    private func endWaiting(for destination: SocketAddress?) -> [DatagramDesk.Packet] {
        let ended = waiting.filter { destination == nil || $0.datagram.destination == destination }
        waiting.removeAll { destination == nil || $0.datagram.destination == destination }
        if waiting.isEmpty, let timer = timer.take() { desk.loop.cancel(timer) }
        return ended
    }

    private func route(_ packet: DatagramDesk.Packet) {
        let destination = packet.datagram.destination
        guard desk.isListed(destination) else { return send(packet, to: destination) }
        switch ways[destination] {
        case .plain: send(packet, to: destination)
        case .relay(let relay): send(packet, to: relay)
        case .asking: wait(packet)
        case nil:
            wait(packet)
            ask(destination, for: packet.process)
        }
    }

    private func send(_ packet: DatagramDesk.Packet, to destination: SocketAddress) {
        guard stalled.isEmpty, transmit(packet.datagram, to: destination) else {
            // Without a number, it is the program's no more.
            if packet.number != nil { stalled.append((packet, destination)) }
            return
        }
        desk.taken(packet)
    }

    /// - Returns: false if there is no room for it now.
    private func transmit(_ datagram: Datagram, to destination: SocketAddress) -> Bool {
        var isRepeated = false
        while true {
            do throws(Errno) {
                try outside?.send(datagram, to: destination)
                return true
            } catch .wouldBlock {
                return false
            } catch {
                // It may be what has become of another.
                if tellFailures(), !isRepeated {
                    isRepeated = true
                    continue
                }
                desk.tell(error, about: datagram)
                return true
            }
        }
    }

    private func sendStalled() {
        while let (packet, destination) = stalled.first {
            guard transmit(packet.datagram, to: destination) else { return }
            desk.taken(packet)
            stalled.removeFirst()
        }
    }

    // MARK: - Listed destinations

    private func ask(_ destination: SocketAddress, for process: pid_t) {
        guard let number = outside?.socket.number else { return }
        if ways.count >= Self.wayLimit {
            for case (let destination, .plain) in ways { ways[destination] = nil }
            for case (let destination, .relay) in ways { ways[destination] = nil }
            asked = [:]
        }
        let question = RepeatedQuestion(at: desk.controlPath, on: desk.loop) { agent throws(Errno) in
            try agent.request(.relayDatagrams(to: AddressBytes(destination), process: process), passing: number)
        } answered: { [unowned self] answer in
            answered(destination, answer)
        }
        ways[destination] = .asking(question)
        question.begin()
    }

    private func answered(_ destination: SocketAddress, _ answer: consuming RepeatedQuestion.Answer) {
        ways[destination] = nil
        let unsent = endWaiting(for: destination)
        switch consume answer {
        case .response(.direct, _): ways[destination] = .plain
        case .response(.leg(let bytes), _):
            guard let relay = SocketAddress(bytes) else { break }
            ways[destination] = .relay(relay)
            asked[relay] = destination
        case .response(.refused(let code), _):
            for packet in unsent { desk.tell(Errno(rawValue: code), about: packet.datagram) }
        case .response: break
        case .nobody: break
        }
        for packet in unsent { if ways[destination] == nil { desk.taken(packet) } else { route(packet) } }
    }

    // MARK: - To the program

    private func takeAnswers() {
        let scratch = desk.loop.scratch
        for _ in 0..<Self.turnLimit {
            do throws(Errno) {
                guard let received = try outside?.socket.receive(into: scratch) else { return }
                lastUse = desk.loop.now
                let sender = asked[received.sender] ?? received.sender
                desk.deliver(
                    UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<received.count]), from: sender,
                    to: place(for: sender))
            } catch {
                // It is told below, and is none of this call's.
                _ = tellFailures()
            }
        }
        desk.loop.runLater(self)
    }

    /// Where the program has what it sends there from.
    private func place(for peer: SocketAddress) -> SocketAddress {
        guard source.isWildcard else { return source }
        return SocketAddress(host: desk.naturalSource(of: peer.host) ?? source.host, port: source.port)
    }

    private func tellFailures() -> Bool {
        var isAny = false
        while var failure = try? outside?.nextFailure() {
            isAny = true
            if let destination = asked.removeValue(forKey: failure.destination) {
                // It has refused, or has gone with its agent: the next datagram asks for another.
                ways[destination] = nil
                failure.destination = destination
                failure.author = nil
            }
            desk.tell(failure, to: place(for: failure.destination))
        }
        return isAny
    }
}

extension DatagramFlow: EventHandler, LoopTask, TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        loseWaiting()
    }

    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        if events.contains(.error) { _ = tellFailures() }
        if events.contains(.writable) { sendStalled() }
        takeAnswers()
    }

    func run(on loop: EventLoop) { takeAnswers() }
}
