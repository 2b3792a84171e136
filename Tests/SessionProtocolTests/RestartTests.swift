import Testing

@testable import SessionProtocol

/// Ends that go on for a process that has died.
@Suite struct RestartTests {
    /// What the ledger, the ring and the kernel's counters say; held bytes are gone with the process.
    private func snapshot(of end: Pair.End, ring: UInt64 = 65_536) -> SessionSnapshot {
        let session = end.session
        return SessionSnapshot(
            id: Pair.id, role: session.role, instance: Pair.instance, epoch: session.highestEpoch,
            taken: session.taken, ringBase: session.taken - min(session.taken, ring),
            finTaken: session.sender.isFinished, delivered: UInt64(end.delivered.count), finDelivered: end.sawEOF,
            aborted: nil)
    }

    private func restart(_ role: Role, of pair: inout Pair) {
        pair.silence()
        pair[role].session = .restored(snapshot(of: pair[role]), SessionConfiguration(seed: 3), pair.now)
        pair[role].held = []
        pair[role].early = [:]
        if role == .opener { pair.wires.removeAll() }
        pair.exchange()
    }

    @Test(arguments: [[Role.opener], [.acceptor], [.opener, .acceptor], [.acceptor, .acceptor, .opener]])
    func nothingIsLost(_ roles: [Role]) {
        var pair = Pair(window: 131_072, maximumWindow: 131_072)
        pair.acceptor?.reads = false
        pair.opener.reads = false
        pair.write(.opener, 50_000)
        pair.write(.acceptor, 40_000)
        for role in roles {
            restart(role, of: &pair)
            pair.write(.opener, 5_000)
            pair.write(.acceptor, 3_000)
            pair.wait(.seconds(3))
        }
        pair.read(.opener)
        pair.read(.acceptor)
        pair.wait(.seconds(6))
        #expect(pair.acceptor?.delivered == pair.opener.written)
        #expect(pair.opener.delivered == pair.acceptor?.written)
        pair.finish(.opener)
        pair.finish(.acceptor)
        pair.wait(.seconds(1))
        #expect(pair.opener.ending == .finished && pair.acceptor?.ending == .finished)
    }

    /// The dead process had promised more than its successor: what it says counts, and nobody is blamed.
    @Test func aSmallerPromiseCounts() {
        var pair = Pair(window: 1 << 20, maximumWindow: 1 << 20)
        pair.acceptor?.reads = false
        pair.write(.opener, 500_000)
        restart(.acceptor, of: &pair)
        pair.acceptor?.reads = false
        pair.write(.opener, 100_000)
        pair.wait(.seconds(2))
        #expect(pair.acceptor?.ending == nil)
        pair.read(.acceptor)
        pair.wait(.seconds(6))
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    /// What the dead opener has sent may arrive behind its successor's ATTACH: its epochs do not count any more, and its
    /// numbers are free.
    @Test func aLateATTACHOfTheDeadIsStale() throws {
        var pair = Pair()
        for number in [1, 2] as [LinkNumber] {
            let claim = Samples.claim(.opener, link: number, epoch: Epoch(8 + number), isRestarted: true)
            let frame = Samples.sealed(claim)
            guard
                case .joined = pair.join(
                    try AttachClaim.decode(FrameHeader(frame: frame), frame.payload), Samples.decoder)
            else {
                Issue.record("link \(number) has not joined")
                return
            }
            #expect(pair.acceptor?.session.links.map { $0.number } == [number])
        }
        let late = Samples.sealed(Samples.claim(.opener, link: 9, epoch: 5))
        guard
            case .stale = pair.join(try AttachClaim.decode(FrameHeader(frame: late), late.payload), Samples.decoder)
        else {
            Issue.record("an epoch of the dead process was accepted")
            return
        }
    }
}
