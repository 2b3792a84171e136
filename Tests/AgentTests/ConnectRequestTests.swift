import CLinux
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage
import TestSupport
import Testing
import Transport

@testable import Agent
@testable import Engine
@testable import Interception
@testable import Keeper

@Suite("Connect request")
struct ConnectRequestTests {
    @Test("treatment direct: the application goes its own way, and nothing is left of it")
    func direct() throws {
        let agent = try AgentUnderTest { $0.treatment = .direct }
        #expect(try agent.connect(to: "192.0.2.1", 80) == .direct)
        #expect(agent.agent.connectionCount == 0 && agent.legsInEscrow() == 0)
    }

    @Test("what loopback cannot carry is direct", arguments: ["224.0.0.1", "0.0.0.0", "169.254.1.1"])
    func obstacles(host: String) throws {
        let agent = try AgentUnderTest { _ in }
        #expect(try agent.connect(to: host, 80) == .direct)
    }

    @Test(
        "the gateway's refusal is the application's errno",
        arguments: [
            (RefusedMessage.Code.connectionRefused, Errno.connectionRefused), (.hostUnreachable, .noRouteToHost),
            (.networkUnreachable, .networkUnreachable), (.timedOut, .timedOut),
        ])
    func refused(code: RefusedMessage.Code, errno: Errno) throws {
        let gateway = try TestListener()
        let agent = try AgentUnderTest {
            $0.gateway = .init(name: HostPort(host: "gateway", port: 1), addresses: [gateway.address])
        }
        var peer: TestPeer?
        var isAnswered = false
        let answer = try agent.connect(to: "192.0.2.1", 80) {
            if let accepted = gateway.accept() { peer = accepted }
            peer?.listen()
            if let peer, !isAnswered, peer.heard.count > Wire.preface.count {
                isAnswered = true
                peer.say(Wire.preface + RefusedMessage(code: code, text: "no").encoded)
            }
        }
        if errno == .connectionRefused {
            // The kernel's own refusal: the application is sent where nobody listens.
            guard case .leg(let address) = answer, let nobody = SocketAddress(address) else {
                Issue.record("answered \(String(describing: answer))")
                return
            }
            let application = try TestPeer(dialling: nobody)
            try turn(agent.loop) {
                application.listen()
                return application.failure == .connectionRefused
            }
        } else {
            #expect(answer == .refused(errno.rawValue))
        }
        try turn(agent.loop) { agent.agent.connectionCount == 0 }
        #expect(agent.legsInEscrow() == 0 && agent.agent.knownSockets.socketNames.isEmpty)
    }

    @Test("a gateway that gave the session up before this end could confirm it is asked for another")
    func openAgain() throws {
        let gateway = try TestListener()
        let agent = try AgentUnderTest {
            $0.gateway = .init(name: HostPort(host: "gateway", port: 1), addresses: [gateway.address])
        }
        guard case .held = try agent.connect(to: "192.0.2.1", 80) else {
            Issue.record("not held")
            return
        }
        var asked: Set<[UInt8]> = []
        var peers: [TestPeer] = []
        let gone = Wire.preface + GoneMessage(reason: .expired, instance: 7, positions: nil).encoded
        try turn(agent.loop) {
            if let peer = gateway.accept() { peers.append(peer) }
            for peer in peers where peer.heard.count < Wire.preface.count + Wire.headerLength + 20 {
                peer.listen()
                guard peer.heard.count >= Wire.preface.count + Wire.headerLength + 20 else { continue }
                // The identifier, behind the head of its item.
                asked.insert(Array(peer.heard.dropFirst(Wire.preface.count + Wire.headerLength + 4).prefix(16)))
                peer.say(gone)
            }
            return asked.count == 3
        }
        #expect(agent.agent.connectionCount >= 1)
    }

    @Test("a gateway that says nothing: after the grace time the application is held, not kept")
    func held() throws {
        let gateway = try TestListener()
        let agent = try AgentUnderTest {
            $0.gateway = .init(name: HostPort(host: "gateway", port: 1), addresses: [gateway.address])
        }
        let start = ContinuousClock.now
        guard case .held(let address) = try agent.connect(to: "192.0.2.1", 80) else {
            Issue.record("not held")
            return
        }
        #expect(SocketAddress(address)?.isLoopback == true)
        // The loop's clock is as old as its turn, which may be long on a busy machine.
        #expect(ContinuousClock.now - start >= .milliseconds(100))
        #expect(agent.agent.connectionCount == 1)
    }
}

/// An agent on this thread, without a keeper that reads.
final class AgentUnderTest {
    let loop: EventLoop
    let agent: Agent
    private let keeper: Descriptor
    private let directory: TemporaryDirectory
    private let listener: ControlListener
    private var legs: Set<EscrowKey> = []

    init(_ configure: (inout AgentOptions) -> Void) throws {
        directory = try TemporaryDirectory()
        let limits = ArenaLimits(capacity: 1 << 20)
        loop = try EventLoop(arena: limits)
        listener = try ControlListener(path: directory.path + "/c.sock")
        let pair = try SocketPair(nonBlocking: true)
        let escrow = try EscrowClient(EscrowChannel(owning: try pair.first.duplicate()), on: loop) { _ in }
        keeper = pair.keepSecond()
        var options = AgentOptions(state: StateDirectory(path: "/nonexistent"))
        options.verbosity = .quiet
        configure(&options)
        agent = Agent(
            options, pool: LoopPool(main: loop, maximum: 1, arenaLimits: limits), escrow: escrow,
            ledger: try SessionLedger(escrow: escrow))
    }

    /// What the library of an application hears that connects a new socket to an address.
    func connect(to host: String, _ port: UInt16, meanwhile: () -> Void = {}) throws -> ControlResponse? {
        let destination = SocketAddress(host: try #require(SocketAddress.Host(numeric: host)), port: port)
        let library = try ControlConnection(path: directory.path + "/c.sock")
        guard let served = try listener.accept() else { throw Errno.timedOut }
        let application = try TCPSocket(family: destination.family).release()
        ConnectRequest.handle(
            served, AddressBytes(destination), blocks: true, by: getpid(), try application.duplicate(), agent)
        var room = [UInt8](repeating: 0, count: ControlMessage.size)
        var count = 0
        try turn(loop) {
            meanwhile()
            count = recv(library.descriptor.number, &room, room.count, Int32(MSG_DONTWAIT))
            return count >= 0
        }
        return ControlResponse(room.span.extracting(..<max(0, count)))
    }

    /// Legs that a keeper would hold now.
    func legsInEscrow() -> Int {
        while let message = try? DescriptorPassing.receive(capacity: 512, over: keeper.number) {
            switch WorkerMessage(message.bytes) {
            case .hold(let key, .leg): legs.insert(key)
            case .release(let key): legs.remove(key)
            case .hold, .report, .replace, nil: break
            }
        }
        return legs.count
    }
}
