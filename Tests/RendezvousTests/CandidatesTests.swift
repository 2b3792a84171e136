import Testing

@testable import Rendezvous

@Suite("Candidates")
struct CandidatesTests {
    private let selection = AddressSelection(locals: [
        LocalAddress("192.0.2.1"), LocalAddress("198.51.100.1", interface: 2), LocalAddress("2001:db8:1::2"),
        LocalAddress("fe80::2%1"), LocalAddress("127.0.0.1", interface: 9), LocalAddress("::1", interface: 9),
    ])

    private func pair(_ source: IPAddress?, _ destination: IPAddress) -> CandidatePair {
        CandidatePair(source: source, destination: destination)
    }

    @Test("what was asked for, the other destinations with families in turn, then all from each other source")
    func order() {
        let others: [IPAddress] = [
            "203.0.113.2", "203.0.113.1", "2001:db8:9::1", "::ffff:cb00:7102", "2001:db8:1::1", "203.0.113.2",
        ]
        let pairs = Candidates(asked: "203.0.113.1").pairs(with: others, by: selection)
        #expect(
            pairs == [
                pair(nil, "203.0.113.1"), pair(nil, "2001:db8:1::1"), pair(nil, "203.0.113.2"),
                pair(nil, "2001:db8:9::1"),
                // 192.0.2.1 is likely to be what the kernel chooses, so it comes last.
                pair("198.51.100.1", "203.0.113.1"), pair("2001:db8:1::2", "2001:db8:1::1"),
                pair("198.51.100.1", "203.0.113.2"), pair("2001:db8:1::2", "2001:db8:9::1"),
                pair("192.0.2.1", "203.0.113.1"), pair("192.0.2.1", "203.0.113.2"),
            ])
    }

    @Test("what the kernel is known to choose is not tried again by name")
    func knownRoute() {
        let selection = AddressSelection(
            locals: selection.locals, routes: ["203.0.113.1": .from("198.51.100.1"), "203.0.113.2": .none])
        #expect(
            Candidates(asked: "203.0.113.1").pairs(with: ["203.0.113.2"], by: selection) == [
                pair(nil, "203.0.113.1"), pair(nil, "203.0.113.2"), pair("192.0.2.1", "203.0.113.1"),
                pair("192.0.2.1", "203.0.113.2"), pair("198.51.100.1", "203.0.113.2"),
            ])
    }

    @Test("a bound source stays, and only what it can reach is tried")
    func bound() {
        let others: [IPAddress] = ["203.0.113.2", "2001:db8:9::1", "127.0.0.1"]
        #expect(
            Candidates(asked: "203.0.113.1", bound: "192.0.2.1").pairs(with: others, by: selection) == [
                pair("192.0.2.1", "203.0.113.1"), pair("192.0.2.1", "127.0.0.1"), pair("192.0.2.1", "203.0.113.2"),
            ])
        #expect(
            Candidates(asked: "127.0.0.2", bound: "127.0.0.1").pairs(with: others, by: selection) == [
                pair("127.0.0.1", "127.0.0.2"), pair("127.0.0.1", "127.0.0.1"),
            ])
        let near = Candidates(asked: "169.254.1.1", bound: "169.254.1.2")
        #expect(
            near.pairs(with: others + ["169.254.1.3"], by: selection).map(\.destination) == [
                "169.254.1.1", "127.0.0.1", "169.254.1.3",
            ])
        let own = Candidates(asked: "127.0.0.2", bound: "127.0.0.1")
        #expect(own.pairs(with: ["169.254.1.3"], by: selection) == [own.first])
        let port = Candidates(asked: "203.0.113.1", bound: "0.0.0.0")
        #expect(port.first == pair(nil, "203.0.113.1"), "a port alone is no source")
    }

    @Test("sources only: the destination stays")
    func sourcesOnly() {
        let candidates = Candidates(asked: "203.0.113.1", mode: .sourcesOnly)
        #expect(
            candidates.pairs(with: ["203.0.113.2"], by: selection) == [
                pair(nil, "203.0.113.1"), pair("198.51.100.1", "203.0.113.1"), pair("192.0.2.1", "203.0.113.1"),
            ])
    }

    @Test("families that the socket cannot be connected to are left out")
    func families() {
        let candidates = Candidates(asked: "203.0.113.1", families: [.v4])
        let pairs = candidates.pairs(with: ["2001:db8:9::1", "203.0.113.2", "0.0.0.0"], by: selection)
        #expect(pairs.allSatisfy { $0.destination.family == .v4 && !$0.destination.isUnspecified } && pairs.count == 6)
    }

    @Test("sources fit: not of the link for what is beyond it, nor of another link, nor the machine's own for others")
    func fittingSources() {
        let far = Candidates(asked: "2001:db8:9::1").pairs(with: [], by: selection)
        #expect(far == [pair(nil, "2001:db8:9::1"), pair("2001:db8:1::2", "2001:db8:9::1")])
        let link = Candidates(asked: "fe80::1%1").pairs(with: [], by: selection)
        #expect(link == [pair(nil, "fe80::1%1"), pair("2001:db8:1::2", "fe80::1%1"), pair("fe80::2%1", "fe80::1%1")])
        #expect(Candidates(asked: "fe80::1%2").pairs(with: [], by: selection) == [pair(nil, "fe80::1%2")])
        #expect(Candidates(asked: "127.0.0.1").pairs(with: [], by: selection) == [pair(nil, "127.0.0.1")])
        #expect(Candidates(asked: "192.0.2.1").pairs(with: [], by: selection) == [pair(nil, "192.0.2.1")])
    }

    @Test("networks of this machine come before further addresses of the same network")
    func networksFirst() {
        let selection = AddressSelection(locals: [
            LocalAddress("192.0.2.1"), LocalAddress("192.0.2.2"), LocalAddress("192.0.2.3"),
            LocalAddress("198.51.100.1", interface: 2), LocalAddress("198.51.100.2", interface: 2),
        ])
        #expect(
            selection.otherSources(for: "203.0.113.1").map(\.address)
                == ["198.51.100.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.2"])
    }

    @Test("there are never too many, and no destination takes all the room")
    func bounded() {
        let others = (1...200).map { IPAddress.v4(0xcb00_7100 + $0) }
        let pairs = Candidates(asked: "203.0.113.1").pairs(with: others, by: selection)
        #expect(pairs.count == Candidates.maximum && Set(pairs).count == pairs.count)
        #expect(pairs[32] == pair("198.51.100.1", "203.0.113.1"))
    }
}

@Suite("Bad pairs")
struct BadPairsTests {
    private let pairs = (1...4).map { CandidatePair(source: nil, destination: .v4($0)) }

    @Test("they come behind all others for a minute, the first excepted")
    func order() {
        var bad = BadPairs()
        for pair in pairs[0...1] { bad.note(pair, port: 80, now: 7) }
        let ordered = [pairs[0], pairs[2], pairs[3], pairs[1]]
        #expect(bad.ordered(pairs, port: 80, now: 8) == ordered)
        #expect(bad.ordered(pairs, port: 80, now: 6 + BadPairs.lifetime) == ordered)
        #expect(bad.ordered(pairs, port: 80, now: 7 + BadPairs.lifetime) == pairs)
        #expect(bad.ordered(pairs, port: 443, now: 8) == pairs, "another port")
        #expect(bad.ordered([], port: 80, now: 8) == [])
    }

    @Test("a pair that works again is forgotten")
    func forgotten() {
        var bad = BadPairs()
        bad.note(pairs[1], port: 80, now: 7)
        bad.forget(pairs[1], port: 80)
        #expect(bad.ordered(pairs, port: 80, now: 8) == pairs)
    }

    @Test("a full memory makes room: first of what no longer holds")
    func bounded() {
        var bad = BadPairs()
        for port in 0..<BadPairs.maximum { bad.note(pairs[1], port: UInt16(port), now: port < 10 ? 0 : 100) }
        bad.note(pairs[2], port: 9999, now: BadPairs.lifetime)
        #expect(bad.ordered(pairs, port: 10, now: BadPairs.lifetime).last == pairs[1])
        #expect(bad.ordered(pairs, port: 9999, now: BadPairs.lifetime).last == pairs[2])
        for port in 0..<BadPairs.maximum { bad.note(pairs[3], port: UInt16(port), now: BadPairs.lifetime) }
        #expect(bad.ordered(pairs, port: 9999, now: BadPairs.lifetime) == pairs, "it grows without bound")
    }
}
