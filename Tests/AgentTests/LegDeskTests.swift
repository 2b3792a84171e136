import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@testable import Agent
@testable import Engine
@testable import Interception
@testable import Keeper

@Suite("Leg desk")
struct LegDeskTests {
    @Test("a leg is known by where it comes from; others are reset")
    func arrivals() throws {
        let loop = try makeLoop()
        var escrowed = 0
        let desk = LegDesk(
            on: loop, owner: LegOwner(),
            escrow: .init(
                hold: { _ in
                    escrowed += 1; return EscrowKey(1)
                }, holdLeg: { $1(EscrowKey(2)) }, release: { if $0 == EscrowKey(1) { escrowed -= 1 } }))
        let application = try boundSocket()
        var arrived: [SocketAddress] = []
        let ticket = try desk.expect(expectation(try application.localAddress(), try cookie(of: application))) {
            leg, _ in
            arrived.append(leg.application)
        }
        #expect(ticket.address.isLoopback && escrowed == 1)

        let stranger = try TestPeer(dialling: ticket.address)
        try turn(loop) {
            stranger.listen()
            return stranger.failure != nil
        }
        #expect(stranger.failure == .connectionReset && arrived.isEmpty)

        try application.connect(to: ticket.address)
        try turn(loop) { !arrived.isEmpty }
        #expect(arrived == [try application.localAddress()])
    }

    @Test("one source to two destinations has two listeners; a place that is given back serves again")
    func places() throws {
        let loop = try makeLoop()
        var escrowed = 0
        let desk = LegDesk(
            on: loop, owner: LegOwner(),
            escrow: .init(
                hold: { _ in
                    escrowed += 1; return EscrowKey(1)
                }, holdLeg: { $1(EscrowKey(2)) }, release: { if $0 == EscrowKey(1) { escrowed -= 1 } }))
        let source = SocketAddress(host: .v4(0x7f00_0001), port: 4711)
        let first = try desk.expect(expectation(source)) { _, _ in }
        let second = try desk.expect(expectation(source)) { _, _ in }
        #expect(first.address != second.address && escrowed == 2)
        let other = try desk.expect(expectation(source.with(port: 4712))) { _, _ in }
        #expect(other.address == first.address)
        desk.giveBack(first)
        let third = try desk.expect(expectation(source)) { _, _ in }
        #expect(third.address == first.address && escrowed == 2)
        // The second listener is not needed any more.
        desk.giveBack(second)
        #expect(escrowed == 1)
    }

    private func boundSocket(reusing: Bool = false, _ transport: LinkTransport = .tcp) throws -> TCPSocket {
        let socket = try TCPSocket(family: AF_INET, transport: transport)
        if reusing { try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: socket.number, to: Int32(1)) }
        let any = SocketAddress(host: .v4(0x7f00_0001), port: 0)
        try check(any.withSockaddr { usl_bind(socket.number, $0, $1) })
        return socket
    }

    /// Another user binds to the address of an application that lets addresses be used again, and connects first.
    @Test(
        "somebody else's connection from the right address is reset, and the application's is taken",
        arguments: LinkTransport.allCases)
    func intruder(transport: LinkTransport) throws {
        let loop = try makeLoop()
        let desk = LegDesk(
            on: loop, owner: LegOwner(),
            escrow: .init(hold: { _ in EscrowKey(1) }, holdLeg: { $1(EscrowKey(2)) }, release: { _ in }))
        let application = try boundSocket(reusing: true, transport)
        let source = try application.localAddress()
        var arrived: [SocketAddress] = []
        let proof = try LegProof(of: application.number, hasPort: true)
        #expect((proof == .cookie) == (transport == .tcp))
        let ticket = try desk.expect(expectation(source, try cookie(of: application), proof)) { leg, _ in
            arrived.append(leg.application)
        }
        let script = """
            import os, socket
            if os.geteuid() == 0: os.setuid(65534)
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, \(transport == .tcp ? IPPROTO_TCP : IPPROTO_MPTCP))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', \(source.port)))
            s.connect(('127.0.0.1', \(ticket.address.port)))
            try: s.sendall(b'mine now'); s.recv(1); raise SystemExit('taken')
            except ConnectionResetError: pass
            """
        let intruder = try ChildProcess.spawn(["/usr/bin/python3", "-c", script])
        var status: Termination?
        try turn(loop) {
            status = try? intruder.wait(milliseconds: 0)
            return status != nil
        }
        #expect(status == .exited(0) && arrived.isEmpty)
        try application.connect(to: ticket.address)
        try turn(loop) { !arrived.isEmpty }
        #expect(arrived == [source])
    }

    /// A socket of Multipath TCP whose port is the agent's choice cannot have its address shared.
    @Test("nobody else gets the address that a socket of Multipath TCP is given")
    func addressOfItsOwn() throws {
        let socket = try TCPSocket(family: AF_INET, transport: .mptcp)
        let number = socket.number
        try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: number, to: Int32(1))
        let copy = Descriptor(owning: try check(usl_fcntl(number, F_DUPFD_CLOEXEC, 0)))
        let expected = try ApplicationSocket(copy: copy, destination: SocketAddress(host: .v4(0xc000_0201), port: 80))
            .prepareLeg()
        #expect(expected.proof == .address)
        let other = try TCPSocket(family: AF_INET)
        try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: other.number, to: Int32(1))
        #expect(throws: Errno.addressInUse) { try other.bind(to: expected.source) }
    }

    /// A program that has gone by the time its leg is looked at has still been the right one.
    @Test("an application that has closed its socket at once is known", arguments: LinkTransport.allCases)
    func closedAtOnce(transport: LinkTransport) throws {
        let loop = try makeLoop()
        let desk = LegDesk(
            on: loop, owner: LegOwner(),
            escrow: .init(hold: { _ in EscrowKey(1) }, holdLeg: { $1(EscrowKey(2)) }, release: { _ in }))
        var arrived: [SocketAddress] = []
        let source: SocketAddress
        let ticket: LegDesk.Ticket
        do {
            let application = try boundSocket(reusing: false, transport)
            source = try application.localAddress()
            let proof = try LegProof(of: application.number, hasPort: true)
            ticket = try desk.expect(expectation(source, try cookie(of: application), proof)) { leg, _ in
                arrived.append(leg.application)
            }
            try application.connect(to: ticket.address)
        }
        try turn(loop) { !arrived.isEmpty }
        #expect(arrived == [source])
    }

    private func cookie(of socket: borrowing TCPSocket) throws -> UInt64 {
        try SocketOption.read(SOL_SOCKET, SO_COOKIE, of: socket.number, initial: UInt64(0))
    }

    private func expectation(
        _ source: SocketAddress, _ cookie: UInt64 = 1, _ proof: LegProof = .cookie
    ) -> ExpectedLeg {
        ExpectedLeg(
            source: source, destination: SocketAddress(host: .v4(0xc000_0201), port: 80), cookie: cookie, proof: proof)
    }
}
