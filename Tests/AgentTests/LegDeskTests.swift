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
            on: loop,
            escrow: .init(
                hold: { _ in
                    escrowed += 1; return EscrowKey(1)
                }, release: { _ in escrowed -= 1 }))
        let application = try boundSocket()
        var arrived: [SocketAddress] = []
        let ticket = try desk.expect(expectation(try application.localAddress())) { arrived.append($0.application) }
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
            on: loop,
            escrow: .init(
                hold: { _ in
                    escrowed += 1; return EscrowKey(1)
                }, release: { _ in escrowed -= 1 }))
        let source = SocketAddress(host: .v4(0x7f00_0001), port: 4711)
        let first = try desk.expect(expectation(source)) { _ in }
        let second = try desk.expect(expectation(source)) { _ in }
        #expect(first.address != second.address && escrowed == 2)
        let other = try desk.expect(expectation(source.with(port: 4712))) { _ in }
        #expect(other.address == first.address)
        desk.giveBack(first)
        let third = try desk.expect(expectation(source)) { _ in }
        #expect(third.address == first.address && escrowed == 2)
        // The second listener is not needed any more.
        desk.giveBack(second)
        #expect(escrowed == 1)
    }

    private func boundSocket() throws -> TCPSocket {
        let socket = try TCPSocket(family: AF_INET)
        let any = SocketAddress(host: .v4(0x7f00_0001), port: 0)
        try check(any.withSockaddr { usl_bind(socket.number, $0, $1) })
        return socket
    }

    private func expectation(_ source: SocketAddress) -> ExpectedLeg {
        ExpectedLeg(
            source: source, destination: SocketAddress(host: .v4(0xc000_0201), port: 80), cookie: 1)
    }
}
