import Testing

@testable import Rendezvous

@Suite("Detection cache")
struct DetectionCacheTests {
    private let lifetime = DetectionFinding.lifetime
    private let start: UInt64 = 1_700_000_000

    private func question(_ place: String, _ way: DetectionQuestion.Way = .port, isPlain: Bool = false)
        -> DetectionQuestion
    {
        DetectionQuestion(way, at: place, isPlain: isPlain)
    }

    private func ordinary(_ until: UInt64) -> DetectionFinding { DetectionFinding(gateways: [], until: until) }
    private func gateway(_ name: String, _ until: UInt64) -> DetectionFinding {
        DetectionFinding(gateways: [name], until: until)
    }

    @Test("a finding holds for its lifetime, and is replaced by a newer one")
    func lifetimes() {
        var cache = DetectionCache()
        let a = question("a")
        #expect(cache.finding(for: a, now: start) == nil)
        cache.note(ordinary(start + lifetime), for: a, now: start)
        #expect(cache.finding(for: a, now: start) == ordinary(start + lifetime))
        #expect(cache.finding(for: a, now: start + lifetime - 1) != nil)
        #expect(cache.finding(for: a, now: start + lifetime) == nil)
        #expect(cache.finding(for: a, now: start - 1) == nil, "one from the future, since the clock was set back")
        for other in [question("b"), question("a", .probe), question("a", isPlain: true)] {
            #expect(cache.finding(for: other, now: start) == nil)
        }
        cache.note(gateway("g", start + lifetime + 1), for: a, now: start + 1)
        #expect(cache.finding(for: a, now: start + lifetime) == gateway("g", start + lifetime + 1))
    }

    @Test("what was found last is remembered beyond its lifetime")
    func remembersTheLastFinding() {
        var cache = DetectionCache()
        #expect(cache.lastFinding(for: question("a")) == nil)
        cache.note(gateway("g", start), for: question("a"), now: start)
        #expect(cache.finding(for: question("a"), now: start) == nil)
        #expect(cache.lastFinding(for: question("a"))?.gateways == ["g"])
    }

    @Test("a gateway that fails ends what led to it, and nothing else")
    func expiry() {
        var cache = DetectionCache()
        let until = start + lifetime
        for (place, found) in [("a", "g"), ("b", "g"), ("c", "h")] {
            cache.note(gateway(found, until), for: question(place), now: start)
        }
        let expired = cache.expire(gateway: "g", now: start + 1)
        #expect(Set(expired.map(\.place)) == ["a", "b"])
        #expect(cache.finding(for: question("a"), now: start + 1) == nil)
        #expect(cache.lastFinding(for: question("a"))?.gateways == ["g"])
        #expect(cache.finding(for: question("c"), now: start + 1) != nil)
        #expect(cache.expire(gateway: "g", now: start + 2).isEmpty)
    }

    @Test("of two findings, the one that holds counts, or else the later one")
    func merging() {
        let (past, until) = (start - 5, start + lifetime)
        for (mine, theirs, kept) in [
            (ordinary(until - 1), gateway("g", until), gateway("g", until)),
            (ordinary(until), gateway("g", until - 1), ordinary(until)),
            (ordinary(past), gateway("g", until), gateway("g", until)),
            (gateway("g", until), ordinary(past), gateway("g", until)),
            (gateway("g", until), ordinary(until + 1), gateway("g", until)),
        ] {
            var (cache, other) = (DetectionCache(), DetectionCache())
            cache.note(mine, for: question("a"), now: start)
            other.note(theirs, for: question("a"), now: start)
            other.note(theirs, for: question("b"), now: start)
            cache.merge(other, now: start)
            #expect(cache.lastFinding(for: question("a")) == kept)
            #expect(cache.lastFinding(for: question("b")) == theirs)
        }
    }

    @Test("a full cache makes room: first of what holds no longer, but for gateways, then of what is oldest")
    func bounded() {
        var cache = DetectionCache()
        let maximum = DetectionCache.maximum
        cache.note(gateway("g", start - 9), for: question("gone"), now: start)
        for number in 1..<maximum {
            cache.note(ordinary(number < 10 ? start : start + 9), for: question("\(number)"), now: start)
        }
        cache.note(ordinary(start + 9), for: question("new"), now: start)
        #expect(cache.lastFinding(for: question("9")) == nil)
        #expect(cache.lastFinding(for: question("10")) != nil && cache.lastFinding(for: question("gone")) != nil)
        for number in 0..<4 * maximum { cache.note(ordinary(start + 99), for: question("x\(number)"), now: start) }
        #expect(cache.count <= maximum)
        #expect(cache.lastFinding(for: question("x\(4 * maximum - 1)")) != nil)
        #expect(cache.lastFinding(for: question("10")) == nil)
    }

    @Test("what holds no longer is dropped, but for gateways")
    func compacting() {
        var cache = DetectionCache()
        for (place, finding) in [("a", ordinary(start)), ("b", ordinary(start + 1)), ("c", gateway("g", start))] {
            cache.note(finding, for: question(place), now: start)
        }
        cache.compact(start)
        #expect(cache.lastFinding(for: question("a")) == nil && cache.count == 2)
    }

    // MARK: - Text

    private var sample: DetectionCache {
        var cache = DetectionCache()
        cache.note(ordinary(start), for: question("192.0.2.1:7117"), now: start)
        cache.note(gateway("[2001:db8::1]:7117", start + 1), for: question("[2001:db8::1]:22", .probe), now: start)
        cache.note(
            DetectionFinding(gateways: ["192.0.2.2:7117", "192.0.2.3:1"], until: start + 2),
            for: question("192.0.2.2:22", .probe, isPlain: true), now: start)
        return cache
    }

    @Test("what is written is read")
    func roundTrip() {
        #expect(
            sample.text == """
                usl detections 1
                probe plain 192.0.2.2:22 1700000002 192.0.2.2:7117 192.0.2.3:1
                probe tls [2001:db8::1]:22 1700000001 [2001:db8::1]:7117
                port tls 192.0.2.1:7117 1700000000

                """)
        #expect(DetectionCache(text: Array(sample.text.utf8)) == sample)
        #expect(DetectionCache(text: Array(DetectionCache().text.utf8)) == DetectionCache())
    }

    @Test("a text that is cut is none, unless at the end of a line")
    func truncatedAtEveryByte() {
        let bytes = Array(sample.text.utf8)
        for count in 0..<bytes.count {
            let isWhole = count > 0 && bytes[count - 1] == UInt8(ascii: "\n")
            #expect((DetectionCache(text: Array(bytes[..<count])) != nil) == isWhole, "cut at \(count)")
        }
    }

    @Test(
        "what is wrong in one line is wrong as a whole",
        arguments: [
            "port", "port tls a", "port tls a x", "port tls a -1", "ports tls a 1", "port ssl a 1", "port tls  1",
            "port tls a 1 ",
            "port tls a 99999999999999999999", "port tls a 1\nport tls a 2", "\u{0}",
        ])
    func damaged(line: String) { #expect(DetectionCache(text: Array("usl detections 1\n\(line)\n".utf8)) == nil) }

    @Test("a text of more findings than a cache holds is none")
    func tooLong() {
        let lines = (0...DetectionCache.maximum).map { "port tls \($0) 1\n" }.joined()
        #expect(DetectionCache(text: Array(("usl detections 1\n" + lines).utf8)) == nil)
        #expect(DetectionCache(text: [0xff, 0x0a]) == nil)
    }
}
