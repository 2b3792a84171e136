import Testing

@testable import SessionProtocol

/// Rule 9, and dialling on several paths.
@Suite struct SeveralLinksTests {
    private let first = PathID(0)
    private let second = PathID(1)

    private func pair(_ mode: LinkMode) -> Pair {
        var pair = Pair(mode: mode, paths: [first, second])
        pair.wait(.milliseconds(300))
        return pair
    }

    private func states(_ session: Session?) -> [String] {
        (session?.links ?? []).map { session!.linkState($0.number) }.sorted()
    }

    @Test func failoverKeepsALinkInReserve() {
        let pair = pair(.failover)
        #expect(states(pair.opener.session) == ["current", "joined"])
        #expect(states(pair.acceptor?.session) == ["current", "joined"])
    }

    @Test(arguments: [LinkMode.mirror, .stripe])
    func otherModesUseEachLink(_ mode: LinkMode) {
        let pair = pair(mode)
        #expect(states(pair.opener.session) == ["current", "current"])
        #expect(states(pair.acceptor?.session) == ["current", "current"])
        #expect(pair.acceptor?.session.mode == mode, "the acceptor learns it from the parts")
    }

    @Test(arguments: LinkMode.allCases, [0, 1] as [UInt8])
    func onePathFallsSilent(_ mode: LinkMode, _ dead: UInt8) {
        var pair = pair(mode)
        pair.write(.opener, 30_000)
        pair.write(.acceptor, 30_000)
        pair.silence(PathID(dead))
        pair.write(.opener, 20_000)
        pair.write(.acceptor, 20_000)
        pair.wait(.milliseconds(1_200))
        #expect(pair.acceptor?.delivered == pair.opener.written)
        #expect(pair.opener.delivered == pair.acceptor?.written)
        #expect(pair.opener.session.state == .active)
        // It comes back, and is used again.
        pair.heal(PathID(dead))
        pair.wait(.seconds(12))
        #expect(pair.opener.session.links.count { $0.isHealthy } == 2)
        pair.write(.opener, 10_000)
        pair.write(.acceptor, 10_000)
        #expect(pair.acceptor?.delivered == pair.opener.written)
        #expect(pair.opener.delivered == pair.acceptor?.written)
    }

    /// A part that was given on a link which dies with it is given again.
    @Test(arguments: [LinkMode.mirror, .stripe])
    func partsAreGivenAnew(_ mode: LinkMode) throws {
        var pair = pair(mode)
        let before = try #require(pair.acceptor?.session.turn)
        let wire = try #require(pair.wires.first { $0.path == first })
        pair.silence(first)
        pair.opener.session.linkLost(wire.opener, .closed, pair.now)
        pair.exchange()
        let after = try #require(pair.acceptor?.session.turn)
        #expect(after > before)
        #expect(pair.acceptor?.session.isCurrent(wire.acceptor ?? 0) == false, "nothing goes out where nobody listens")
    }

    @Test func mirrorLosesNoTime() {
        var pair = pair(.mirror)
        pair.silence(first)
        pair.write(.opener, 20_000)
        pair.write(.acceptor, 20_000)
        #expect(pair.acceptor?.delivered == pair.opener.written && pair.opener.delivered == pair.acceptor?.written)
    }

    /// Found by the simulation (seed 322166): what the silent link carried waited for its end.
    @Test(arguments: LinkMode.allCases)
    func anotherPathTakesOverFromTheOnlyOne(_ mode: LinkMode) {
        var pair = Pair(mode: mode, paths: [first])
        pair.silence(first)
        pair.write(.opener, 20_000)
        pair.wait(.seconds(2))
        #expect(pair.acceptor?.delivered.isEmpty == true)
        pair.opener.session.addPath(second, pair.now)
        pair.exchange()
        pair.wait(.milliseconds(100))
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    /// Found by the simulation (seed 1101): the writer waited for the slowest of its links.
    @Test(arguments: [LinkMode.mirror, .stripe])
    func acknowledgementsLeaveOnEveryLink(_ mode: LinkMode) {
        var pair = pair(mode)
        pair.wait(.seconds(1))
        let links = Set(pair.wires.compactMap { $0.acceptor })
        pair.sent = []
        pair.write(.opener, 100)
        pair.wait(.milliseconds(20))
        let acknowledging = pair.sent.filter { $0.by == .acceptor && $0.header.acknowledged == 100 }
        #expect(links.count == 2 && Set(acknowledging.map { $0.on }) == links)
    }

    @Test func stripeSendsEachByteOnce() {
        var pair = pair(.stripe)
        pair.sent = []
        for _ in 0..<10 { pair.write(.opener, 2_000) }
        let data = pair.sent.filter { $0.header.type == .data && $0.by == .opener }
        #expect(data.reduce(0) { $0 + Int($1.header.length) } == 20_000)
        #expect(pair.acceptor?.delivered == pair.opener.written)
    }

    @Test(arguments: LinkMode.allCases)
    func pathsComeAndGo(_ mode: LinkMode) {
        var pair = Pair(mode: mode, paths: [first])
        pair.write(.opener, 1_000)
        pair.opener.session.addPath(second, pair.now)
        pair.exchange()
        pair.opener.session.removePath(first, pair.now)
        pair.exchange()
        #expect(states(pair.opener.session).filter { $0 != "leaving" } == ["current"])
        #expect(pair.opener.session.links.first { $0.state == .current }?.path == second)
        pair.write(.opener, 1_000)
        pair.write(.acceptor, 1_000)
        pair.opener.session.removePath(second, pair.now)
        pair.exchange()
        #expect(pair.opener.session.state == .suspended)
        pair.write(.opener, 1_000)
        pair.opener.session.addPath(first, pair.now)
        pair.exchange()
        #expect(pair.acceptor?.delivered == pair.opener.written && pair.opener.delivered == pair.acceptor?.written)
    }

    @Test func failoverPrefersAClearlyShorterPath() {
        var pair = pair(.failover)
        pair.wait(.seconds(11))
        let current = pair.opener.session.links.firstIndex { $0.state == .current }!
        let other = 1 - current
        for index in 0..<2 {
            pair.opener.session.links[index].liveness = Liveness(pair.now)
            pair.opener.session.links[index].liveness.sampleRoundTrip(
                index == current ? .milliseconds(50) : .milliseconds(45), pair.now)
        }
        pair.opener.session.preferBetterPath(pair.now)
        #expect(pair.opener.session.links[current].state == .current, "a little shorter is not enough")
        pair.opener.session.links[other].liveness.sampleRoundTrip(.milliseconds(20), pair.now)
        pair.opener.session.preferBetterPath(pair.now)
        pair.exchange()
        #expect(pair.opener.session.links[other].state == .current)
        #expect(pair.acceptor?.session.links[other].state == .current)
        // Not back at once, whatever is measured.
        pair.opener.session.links[current].liveness.sampleRoundTrip(.milliseconds(1), pair.now)
        pair.opener.session.preferBetterPath(pair.now)
        #expect(pair.opener.session.links[other].state == .current)
    }

    // MARK: Dialling

    /// A dial that fails at once beside one that hangs is followed after a while, and not at once for ever.
    @Test func rivalsThatFailAtOnceDoNotSpin() {
        var pair = Pair()
        pair.silence(first)
        pair.cutAtOpener()
        var dials = 0
        for _ in 0..<20 {
            pair.wait(.milliseconds(50))
            pair.deadPaths = []
            pair.hasPath = false
            dials = Int(pair.opener.session.nextLinkNumber)
        }
        #expect(dials < 30)
    }

    /// An acceptor of many addresses, of which the first are silent: each has its dial, as soon as RFC 8305 has it.
    @Test func manyDestinations() {
        func dials(destinations: Int, within limit: Interval) -> Int {
            var configuration = SessionConfiguration(seed: 1)
            configuration.destinations = destinations
            let begin = Instant(nanoseconds: 0)
            var session = Session.opener(Samples.open, configuration, begin)
            var count = 0
            for step in 0..<limit.nanoseconds / 10_000_000 {
                session.tick(begin + .milliseconds(step * 10))
                while let effect = session.nextEffect() { if case .dial = effect { count += 1 } }
            }
            return count
        }
        #expect(dials(destinations: 1, within: .milliseconds(1900)) == 2)
        #expect(dials(destinations: 8, within: .milliseconds(1900)) == 8)
        #expect(dials(destinations: 100, within: .seconds(5)) == Path.maximumDialsToMany)
    }

    /// Addresses that come and go within milliseconds: each change is followed by a dial, up to a few.
    @Test func everyChangeOfTheNetworkIsFollowed() {
        var pair = Pair()
        pair.silence(first)
        pair.cutAtOpener()
        let before = pair.opener.session.nextLinkNumber
        for _ in 0..<10 {
            pair.wait(.milliseconds(5))
            pair.opener.session.networkChanged(pair.now)
            pair.exchange()
        }
        #expect(pair.opener.session.nextLinkNumber == before + LinkNumber(Path.maximumDials))
        pair.deadPaths = []
        pair.wait(.milliseconds(100))
        pair.opener.session.networkChanged(pair.now)
        pair.exchange()
        #expect(pair.opener.session.hasLink)
    }

    @Test func theSecondPathIsTriedWhenTheFirstIsDead() {
        var pair = Pair(paths: [first, second], opens: false)
        pair.deadPaths = [first]
        pair.exchange()
        pair.wait(.milliseconds(300))
        #expect(pair.opener.session.isOpen && pair.opener.session.hasLink)
    }

    /// No opener's link has the number by which the acceptor knows the link of the first OPEN.
    @Test func noLinkIsNumberZero() {
        let pair = pair(.failover)
        #expect(pair.opener.session.links.allSatisfy { $0.number > 0 })
    }
}
